//go:build unix

package coordnats

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
)

// A process is a coordinator's engine in a process of its own, which can be killed
// and paused.
type process struct {
	config Config
	cmd    *exec.Cmd
	env    []string
	stdin  io.Closer
	said   *json.Decoder
	access access
	opened chan error
	log    string // file
}

// newCluster returns the processes of a cluster, not started.
func newCluster(t testing.TB, n int) []*process {
	t.Helper()
	routes := map[string]string{}
	var names []string
	for i := range n {
		name := []string{"one", "two", "three", "four", "five"}[i]
		names = append(names, name)
		routes[name] = freeAddress(t)
	}
	var all []*process
	for _, name := range names {
		all = append(all, &process{config: Config{
			Dir:     filepath.Join(t.TempDir(), name),
			Cluster: &Cluster{Name: name, Routes: routes, Secrets: [][]byte{make([]byte, 32)}},
		}})
	}
	return all
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start starts the process; await waits until its store is open.
func (p *process) start(t testing.TB) {
	t.Helper()
	text, err := json.Marshal(place{p.config.Dir, p.config.Cluster})
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0], "-test.run=^$")
	p.cmd.Env = append(append(os.Environ(), asCoordinator+"="+string(text)), p.env...)
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.log = p.config.Dir + ".log"
	errors, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer errors.Close()
	p.cmd.Stderr, p.stdin, p.opened = errors, stdin, make(chan error, 1)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running := p.cmd
	t.Cleanup(func() { running.Process.Kill(); running.Process.Signal(syscall.SIGCONT); running.Wait() })
	p.said = json.NewDecoder(stdout)
	go func() { p.opened <- p.said.Decode(&p.access) }()
}

func (p *process) await(t testing.TB) {
	t.Helper()
	if err := <-p.opened; err != nil {
		p.cmd.Wait()
		said, _ := os.ReadFile(p.log)
		t.Fatalf("the process did not open its store: %v\n%s", err, said)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *process) stop(t testing.TB) {
	t.Helper()
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the end of a process: %v", err)
	}
}

func (p *process) pause()  { p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) resume() { p.cmd.Process.Signal(syscall.SIGCONT) }

// store returns a store on the engine of the process.
func (p *process) store(t testing.TB) *Store {
	t.Helper()
	replicas := 1
	if p.config.Cluster != nil {
		replicas = min(3, len(p.config.Cluster.Routes))
	}
	s := newStore(Config{Logger: logTo(t), Replicas: replicas})
	if err := s.open(t.Context(), p.access.URL, []nats.Option{nats.Token(p.access.Token), nats.IgnoreDiscoveredServers()}); err != nil {
		s.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func logTo(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func startCluster(t testing.TB) []*process {
	t.Helper()
	all := newCluster(t, 3)
	for _, p := range all {
		p.start(t)
	}
	for _, p := range all {
		p.await(t)
	}
	return all
}

func key(n int) string { return fmt.Sprintf("m.tailnet.%d", n) }
