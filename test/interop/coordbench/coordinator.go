package coordbench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Place is what is measured, and where.
type Place struct {
	Detour string // the program
	Dir    string // for what coordinators keep
	Talk   func(format string, args ...any)
}

const (
	startBudget = 2 * time.Minute
	stopBudget  = 10 * time.Second
)

// coordinator is a process of the coordination server.
type coordinator struct {
	name  string
	addr  string // where members come to
	admin string // of the status page
	dir   string
	args  []string
	place *Place

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has
	log   bytes.Buffer  // readable once it has ended
}

// one starts a coordinator with an embedded engine.
func (p *Place) one(ctx context.Context) (*coordinator, error) {
	c, err := p.prepare("one")
	if err != nil {
		return nil, err
	}
	return c, c.start(ctx)
}

// three starts a cluster.
func (p *Place) three(ctx context.Context) ([]*coordinator, error) {
	dir, err := os.MkdirTemp(p.Dir, "cluster-")
	if err != nil {
		return nil, err
	}
	var random [32]byte
	rand.Read(random[:])
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(hex.EncodeToString(random[:])+"\n"), 0o600); err != nil {
		return nil, err
	}
	var routes []string
	for _, name := range []string{"a", "b", "c"} {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		routes = append(routes, name+"="+addr)
	}
	var all []*coordinator
	failed := make(chan error, len(routes))
	for _, route := range routes {
		name, _, _ := strings.Cut(route, "=")
		c, err := p.prepare(name)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, "--name", name, "--cluster", strings.Join(routes, ","), "--cluster-secret", secret)
		all = append(all, c)
		go func() { failed <- c.start(ctx) }() // none is ready before a second one is there
	}
	for range all {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		stopAll(all)
		return nil, err
	}
	return all, nil
}

func stopAll(all []*coordinator) {
	for _, c := range all {
		c.stop()
	}
}

func addrsOf(all []*coordinator) (addrs []string) {
	for _, c := range all {
		addrs = append(addrs, c.addr)
	}
	return addrs
}

func (p *Place) prepare(name string) (*coordinator, error) {
	dir, err := os.MkdirTemp(p.Dir, "coord-"+name+"-")
	if err != nil {
		return nil, err
	}
	c := &coordinator{name: name, dir: dir, place: p}
	for _, addr := range []*string{&c.addr, &c.admin} {
		if *addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	c.args = []string{"coord", "--tls", "self", "--hostname", "127.0.0.1", "--listen", c.addr, "--admin", c.admin,
		"--state-dir", dir, "--drain", "0"}
	return c, nil
}

// start runs the process and waits until it is ready. It may be called again after the end.
func (c *coordinator) start(ctx context.Context) error {
	c.log.Reset()
	ended := make(chan struct{})
	c.cmd, c.ended = exec.Command(c.place.Detour, c.args...), ended
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	if err := c.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd) {
		cmd.Wait() // how it ended shows in what it logged
		close(ended)
	}(c.cmd)
	if err := c.awaitReady(ctx); err != nil {
		c.stop()
		return fmt.Errorf("coordinator %s: %w; it logged: %s", c.name, err, c.log.String())
	}
	return nil
}

func (c *coordinator) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startBudget, fmt.Errorf("not ready within %v", startBudget))
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for !c.answers(ctx, "/readyz") {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.ended:
			return fmt.Errorf("it ended before it was ready: %v", c.cmd.ProcessState)
		case <-retry.C:
		}
	}
	return nil
}

func (c *coordinator) answers(ctx context.Context, path string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+path, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// net runs `detour net` with an own socket.
func (c *coordinator) net(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, c.place.Detour, append(append([]string{"net"}, args...), "--admin-socket", filepath.Join(c.dir, "admin.sock"))...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("detour net %s: %w: %s", args[0], err, said)
	}
	return nil
}

// stop ends the process, first as an operator does, then by force.
func (c *coordinator) stop() {
	if c.cmd == nil || c.cmd.Process == nil {
		return
	}
	c.cmd.Process.Signal(os.Interrupt)
	select {
	case <-c.ended:
	case <-time.After(stopBudget):
		c.kill()
	}
}

// kill ends it as a power cut does.
func (c *coordinator) kill() {
	c.cmd.Process.Signal(syscall.SIGKILL)
	<-c.ended
}

// residentKB is what the process has in memory.
func (c *coordinator) residentKB() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 64)
		}
	}
	return 0, errors.New("the system does not say how much memory a process has")
}

// taken are the addresses that freeAddr has given: it never gives one twice.
var taken struct {
	sync.Mutex
	addrs map[string]bool
}

// freeAddr is an address of the loopback interface that nobody uses at the moment.
func freeAddr() (string, error) {
	taken.Lock()
	defer taken.Unlock()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		l.Close()
		if !taken.addrs[addr] {
			if taken.addrs == nil {
				taken.addrs = map[string]bool{}
			}
			taken.addrs[addr] = true
			return addr, nil
		}
	}
}
