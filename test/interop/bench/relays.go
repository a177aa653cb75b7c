package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/detour-relay/detour/test/interop/programs"
)

// relayKind is one of the relays that are compared.
type relayKind string

const (
	ours    relayKind = "detour"
	derper  relayKind = "derper"
	sameGo  relayKind = "detour-same-go" // ours, built with derper's Go
	earlier relayKind = "detour-before"  // another build of ours, see -before
)

// program is what a relay of the kind runs.
func (s *stage) program(kind relayKind) (string, error) {
	switch kind {
	case derper:
		return s.derper, nil
	case sameGo:
		return programs.DetourSameGo()
	case earlier:
		return s.options.before, nil
	}
	return s.detour, nil
}

const (
	startBudget = 20 * time.Second
	stopBudget  = 5 * time.Second
)

// relay is a running relay program.
type relay struct {
	url   string
	addr  netip.AddrPort // where it listens
	pprof string         // address of the profiles, ours only
	cmd   *exec.Cmd
	ended chan struct{}                         // closed when the process has
	log   bytes.Buffer                          // readable once it has ended
	again func(context.Context) (*relay, error) // starts it once more, at the same address
	once  sync.Once
}

// start runs a relay and waits until it answers. The caller stops it.
func (s *stage) start(ctx context.Context, kind relayKind) (*relay, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return s.startAt(ctx, kind, addr, s.dir)
}

// startAt runs a relay that listens on addr and keeps its key in dir, with more arguments.
func (s *stage) startAt(ctx context.Context, kind relayKind, addr, dir string, more ...string) (*relay, error) {
	r := &relay{url: "https://" + addr + "/derp", addr: netip.MustParseAddrPort(addr), ended: make(chan struct{})}
	r.again = func(ctx context.Context) (*relay, error) { return s.startAt(ctx, kind, addr, dir, more...) }
	program, err := s.program(kind)
	if err != nil {
		return nil, err
	}
	switch kind {
	default:
		if r.pprof, err = freeAddr(); err != nil {
			return nil, err
		}
		r.cmd = exec.Command(program, append([]string{"relay", "--listen", addr, "--hostname", programs.Host, "--tls", "files",
			"--cert", s.path(programs.CertFile), "--key", s.path(programs.KeyFile), "--state-dir", dir, "--pprof", r.pprof,
			"--stun", "off", "--self-check", "off", "--drain", "0"}, more...)...)
	case derper:
		r.cmd = exec.Command(program, append([]string{"-a", addr, "-hostname", programs.Host, "-certmode", "manual", "-certdir", s.dir,
			"-stun=false", "-http-port", "-1", "-c", filepath.Join(dir, "derper.json")}, more...)...)
		r.cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+s.path(programs.CertFile)) // siblings are verified by it
	}
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	go func() {
		r.cmd.Wait() // how it ended shows in what it logged
		close(r.ended)
	}()
	if err := r.await(ctx, addr); err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: %w; it logged: %s", kind, err, r.log.String())
	}
	return r, nil
}

// urlsOf are where clients reach the relays.
func urlsOf(relays []*relay) (urls []string) {
	for _, r := range relays {
		urls = append(urls, r.url)
	}
	return urls
}

func (r *relay) pid() int { return r.cmd.Process.Pid }

// await waits until the relay answers requests.
func (r *relay) await(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startBudget, fmt.Errorf("no answer within %v", startBudget))
	defer cancel()
	web := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the certificate is of our own making
		DisableKeepAlives: true,
	}}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/derp/probe", nil)
		if err != nil {
			return err
		}
		if response, err := web.Do(request); err == nil {
			response.Body.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.ended:
			return fmt.Errorf("it ended before it answered: %v", r.cmd.ProcessState)
		case <-retry.C:
		}
	}
}

// stop ends the relay, first as an operator does, then by force.
func (r *relay) stop() {
	r.once.Do(func() {
		r.cmd.Process.Signal(os.Interrupt)
		select {
		case <-r.ended:
		case <-time.After(stopBudget):
			r.cmd.Process.Kill()
			<-r.ended
		}
	})
}

// freeAddr is an address of the loopback interface that nobody uses at the moment. derper cannot say which
// port the system gave it, so it has to be told one.
func freeAddr() (string, error) {
	for {
		l, err := net.Listen("tcp4", net.JoinHostPort(programs.Host, "0"))
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		l.Close()
		// A port that is free for TCP may be somebody's for UDP, and STUN wants it there.
		if u, err := net.ListenPacket("udp4", addr); err == nil {
			return addr, u.Close()
		}
	}
}
