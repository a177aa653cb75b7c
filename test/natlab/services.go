package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const patience = time.Minute // for what takes moments, on a machine that has other things to do

// await waits until something is so.
func await(ctx context.Context, what string, is func() bool) error {
	end := time.Now().Add(patience)
	for !is() {
		if time.Now().After(end) {
			return fmt.Errorf("it never comes about that %s", what)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// A process is one of detour's that runs in a namespace.
type process struct {
	cmd   *exec.Cmd
	log   string // its file
	ended chan struct{}
}

func (w *world) start(s space, name, program string, args ...string) (*process, error) {
	p := &process{log: filepath.Join(w.logs, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = s.command(log, program, args...)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.cmd.Wait(); close(p.ended) }()
	return p, nil
}

// stop ends it, by force if it takes too long.
func (p *process) stop() {
	if p == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// says is the end of its log.
func (p *process) says() string {
	text, _ := os.ReadFile(p.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// hasEnded reports whether it has ended though nobody has stopped it.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// services are a relay and a coordinator with a tailnet.
type services struct {
	relay, coord *process
	invite       string
}

func (s *services) stop() {
	s.coord.stop()
	s.relay.stop()
}

var pinText = regexp.MustCompile(`sha256-raw:[0-9a-f]{64}`)

func (w *world) serve(ctx context.Context, program string) (s *services, err error) {
	s = new(services)
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	host, _ := w.services()
	s.relay, err = w.start(w.internet.router, "relay", program, "relay", "--listen", net.JoinHostPort(host, "443"), "--tls", "self", "--hostname", host,
		"--stun", net.JoinHostPort(host, "3478"), "--state-dir", filepath.Join(w.dir, "relay"), "--access-everyone")
	if err != nil {
		return s, err
	}
	pin := ""
	if err := await(ctx, "the relay has a certificate", func() bool { pin = pinText.FindString(s.relay.says()); return pin != "" || s.relay.hasEnded() }); err != nil || pin == "" {
		return s, fmt.Errorf("relay: %w\n%s", errors.Join(err), s.relay.says())
	}
	dm, admin := filepath.Join(w.dir, "map.json"), filepath.Join(w.dir, "coord", "admin.sock")
	if err := os.WriteFile(dm, w.derpMap(host, pin), 0o600); err != nil {
		return s, err
	}
	s.coord, err = w.start(w.internet.router, "coord", program, "coord", "--listen", net.JoinHostPort(host, "8443"), "--tls", "self", "--hostname", host,
		"--map", dm, "--state-dir", filepath.Dir(admin))
	if err != nil {
		return s, err
	}
	create := func() bool {
		return s.coord.hasEnded() || exec.CommandContext(ctx, program, "net", "create", "lab", "--admin-socket", admin).Run() == nil
	}
	if err := await(ctx, "the coordinator has a tailnet", create); err != nil {
		return s, fmt.Errorf("%w\n%s", err, s.coord.says())
	}
	out, err := exec.CommandContext(ctx, program, "net", "invite", "lab", "--admin-socket", admin, "--uses", "2").Output()
	s.invite = strings.TrimSpace(string(out))
	if err != nil {
		return s, fmt.Errorf("invite: %w\n%s", err, s.coord.says())
	}
	return s, nil
}

func (w *world) derpMap(host, pin string) []byte {
	node := map[string]any{"Name": "901a", "RegionID": 901, "HostName": host, "CertName": pin, "IPv4": host, "IPv6": "none"}
	if w.six {
		node["IPv4"], node["IPv6"] = "none", host
	}
	text, err := json.Marshal(map[string]any{"Regions": map[string]any{"901": map[string]any{
		"RegionID": 901, "RegionCode": "one", "RegionName": "One", "Nodes": []any{node}}}})
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	return text
}

// A laptop is a machine with detour up.
type laptop struct {
	space
	w       *world
	name    string
	client  *http.Client
	process *process
}

func (w *world) newLaptop(s space, name string) *laptop {
	l := &laptop{space: s, w: w, name: name}
	l.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", l.state()+".sock")
		},
	}}
	return l
}

func (l *laptop) state() string { return filepath.Join(l.w.dir, l.name+".json") }

func (l *laptop) up(program string, more ...string) (err error) {
	args := append([]string{"up", "--state", l.state(), "--name", l.name}, more...)
	l.process, err = l.w.start(l.space, l.name, program, args...)
	return err
}

func (l *laptop) down() {
	l.process.stop()
	l.client.CloseIdleConnections()
}

// A way is that of packets to the other, as detour status tells it.
type way struct {
	State string // "relay", "searching", "both" or "direct"
	Addr  string // where they go by UDP; empty: nowhere
}

// status is what the agent says of itself and of the only other member.
type status struct {
	own, other string // addresses in the tunnel
	way        way
}

func (l *laptop) status(ctx context.Context) (s status, err error) {
	var says struct {
		Addresses []string `json:"addresses"`
		Connected bool     `json:"connected"`
		Peers     []struct {
			Addresses []string `json:"addresses"`
			Path      string   `json:"path"`
			State     string   `json:"path_state"`
		} `json:"peers"`
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://detour/v1/status", nil)
	if err != nil {
		return s, err
	}
	answer, err := l.client.Do(ask)
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&says); err != nil {
		return s, err
	}
	if !says.Connected || len(says.Addresses) == 0 || len(says.Peers) != 1 || len(says.Peers[0].Addresses) == 0 {
		return s, errors.New("it does not know the other yet")
	}
	p := says.Peers[0]
	s = status{own: says.Addresses[0], other: p.Addresses[0], way: way{State: p.State}}
	if words := strings.Fields(p.Path); len(words) > 1 && words[0] == "direct" {
		s.way.Addr = words[1]
	}
	return s, nil
}
