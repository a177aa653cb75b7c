//go:build unix

package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// A relay is replaced while peers connect all the time: none is refused, the
// process before sends its own peers away and ends well, and the service manager
// hears of all of it.
func TestTakeover(t *testing.T) {
	s := startService(t, "--drain", "300ms")
	old := s.cmd.Process.Pid
	s.wantNotice(t, `^READY=1$`)

	s.cmd.Process.Signal(syscall.SIGHUP)
	s.wantNotice(t, `^RELOADING=1\nMONOTONIC_USEC=\d+\n$`)
	s.wantNotice(t, `^READY=1$`)

	guest := s.dial(t)
	came := s.connectAllTheTime(t)
	came.wantMore(t)

	s.cmd.Process.Signal(syscall.SIGUSR2)
	notice := s.wantNotice(t, `^MAINPID=(\d+)\nREADY=1$`)
	next, _ := strconv.Atoi(notice[1])
	t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
	if next == old {
		t.Fatalf("the new process has the number of the old one")
	}
	if err := guest.untilEnd(); !guest.restarting || !errors.Is(err, io.EOF) {
		t.Errorf("the peer of the old process was told of the restart: %v, and its connection ended with %v", guest.restarting, err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	came.wantMore(t)
	if failed := came.failed.Load(); failed != nil {
		t.Errorf("a connection attempt failed: %v", *failed)
	}
	came.stop()

	// The new process is on its own now, and ends like any other.
	guest = s.dial(t)
	guest.conn.Close()
	syscall.Kill(next, syscall.SIGTERM)
	s.wantNotice(t, `^STOPPING=1$`)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 2)
}

// Packets between two peers go on while they move from one process to the other,
// each at its own time, and none is lost. The relay has no siblings.
func TestTakeoverLosesNothing(t *testing.T) {
	s := startService(t, "--drain", "3s")
	s.wantNotice(t, `^READY=1$`)
	from, _ := s.roam(t)
	to, toKey := s.roam(t)

	const before, after = 200, 200 // packets
	sent := make(chan int, 1)
	oldGone := make(chan struct{})
	started := make(chan struct{})
	go func() {
		n := 0
		for rest := after; rest > 0; n++ {
			from.Send(toKey, binary.BigEndian.AppendUint64(nil, uint64(n))) // one that is not taken is lost
			if n == before {
				close(started)
			}
			select {
			case <-oldGone:
				rest--
			default:
			}
			time.Sleep(time.Millisecond)
		}
		sent <- n
	}()
	came := make(map[uint64]bool)
	received := make(chan int)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			msg, err := to.Recv(buf)
			if err != nil {
				return
			}
			if msg.Kind == client.MessagePacket && !came[binary.BigEndian.Uint64(msg.Packet)] {
				came[binary.BigEndian.Uint64(msg.Packet)] = true
				received <- len(came)
			}
		}
	}()
	go func() {
		<-started
		s.cmd.Process.Signal(syscall.SIGUSR2)
		<-s.ended
		close(oldGone)
	}()
	all, have := -1, 0
	for deadline := time.After(timeout); have != all; {
		select {
		case have = <-received:
		case all = <-sent:
		case <-deadline:
			t.Fatalf("of %d packets, %d came\n%s", all, have, s.log.text())
		}
	}
	notice := s.wantNotice(t, `^MAINPID=(\d+)\nREADY=1$`)
	next, _ := strconv.Atoi(notice[1])
	from.Close()
	to.Close()
	syscall.Kill(next, syscall.SIGTERM)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 2)
}

// roam connects a peer that follows the relay from one process to the next.
func (s *service) roam(t *testing.T) (*client.Region, key.Public) {
	t.Helper()
	secret, connected := key.NewPrivate(), make(chan struct{}, 10)
	r, err := client.NewRegion(client.RegionConfig{
		Nodes: []client.RelayConfig{{Config: client.Config{URL: s.url, Key: secret, InsecureSkipVerify: true}}},
		OnState: func(state client.RegionState) {
			if state.Connected {
				connected <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	select {
	case <-connected:
	case <-time.After(timeout):
		t.Fatalf("no connection\n%s", s.log.text())
	}
	return r, secret.Public()
}

// If the new process cannot start, the old one goes on.
func TestTakeoverFails(t *testing.T) {
	s := startService(t, "--drain", "0")
	s.wantNotice(t, `^READY=1$`)
	if err := os.WriteFile(filepath.Join(s.dir, "state", "relay.key"), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cmd.Process.Signal(syscall.SIGUSR2)
	s.wantLog(t, `"msg":"SIGUSR2: the new process did not take over; this one goes on","reason":"child pid=\d+ exited: exit status 1"`)
	s.dial(t).conn.Close()
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.wantNotice(t, `^STOPPING=1$`)
	if err := <-s.ended; err != nil {
		t.Errorf("the relay ended with %v", err)
	}
}

// A process that has been replaced and still drains ends at once when it is told to.
func TestTakeoverCutShort(t *testing.T) {
	s := startService(t, "--drain", "10m")
	s.wantNotice(t, `^READY=1$`)
	guest := s.dial(t)
	s.cmd.Process.Signal(syscall.SIGUSR2)
	notice := s.wantNotice(t, `^MAINPID=(\d+)\nREADY=1$`)
	next, _ := strconv.Atoi(notice[1])
	t.Cleanup(func() { syscall.Kill(next, syscall.SIGKILL) })
	s.wantLog(t, `"msg":"another process has taken over","drain":"10m"`)

	// Only one takeover at a time; the new process says so and goes on.
	syscall.Kill(next, syscall.SIGUSR2)
	s.wantLog(t, `"msg":"SIGUSR2: the new process did not take over; this one goes on","reason":"the process before this one still drains`)

	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.ended; err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	if err := guest.untilEnd(); !guest.restarting {
		t.Errorf("the peer was not told of the restart, its connection ended with %v", err)
	}
	s.dial(t).conn.Close()
	syscall.Kill(next, syscall.SIGTERM)
	s.wantNotice(t, `^STOPPING=1$`)
	s.wantLogEnd(t, `"msg":"relay stopped"`, 2)
}

// A service is a relay, or a coordinator, that runs as under systemd.
type service struct {
	dir     string
	cmd     *exec.Cmd
	url     string
	notices *net.UnixConn
	ended   chan error // gets the result of Wait
	log     logPipe
}

func startService(t testing.TB, args ...string) *service {
	t.Helper()
	s := &service{dir: t.TempDir(), ended: make(chan error, 1)}
	s.launch(t, append([]string{"relay", "--tls", "self", "--hostname", "127.0.0.1",
		"--state-dir", filepath.Join(s.dir, "state"), "--listen", "127.0.0.1:0", "--stun", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
	found := s.wantLog(t, `"msg":"relay started","listen":"([^"]+)"`)
	s.url = "https://" + found[1] + "/derp"
	return s
}

// launch starts the program.
func (s *service) launch(t testing.TB, args ...string) {
	t.Helper()
	var err error
	socket := filepath.Join(s.dir, "notify")
	if s.notices, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.notices.Close() })
	s.cmd = exec.Command("detour", args...)
	s.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	s.log.open(t, s.cmd)
	stdout, err := os.Create(filepath.Join(s.dir, "banner"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	s.cmd.Stdout = stdout
	s.start(t)
}

// start runs the process until the test ends, and with it those that take over: they
// stay in its group.
func (s *service) start(t testing.TB) {
	t.Helper()
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() { syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
	s.log.begin()
}

// wantNotice reads what the service manager is told next.
func (s *service) wantNotice(t *testing.T, want string) []string {
	t.Helper()
	s.notices.SetReadDeadline(time.Now().Add(timeout))
	buf := make([]byte, 4096)
	n, err := s.notices.Read(buf)
	if err != nil {
		t.Fatalf("waiting for %s: %v\n%s", want, err, s.log.text())
	}
	found := regexp.MustCompile(want).FindStringSubmatch(string(buf[:n]))
	if found == nil {
		t.Fatalf("the service manager was told %q, want %s\n%s", buf[:n], want, s.log.text())
	}
	return found
}

func (s *service) wantLog(t testing.TB, want string) []string {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		if found := regexp.MustCompile(want).FindStringSubmatch(s.log.text()); found != nil {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("no log line matches %s:\n%s", want, s.log.text())
		}
	}
}

// wantLogEnd waits until every process that writes the log has ended.
func (s *service) wantLogEnd(t *testing.T, want string, times int) {
	t.Helper()
	select {
	case <-s.log.ended:
	case <-time.After(timeout):
		t.Fatalf("a process is left\n%s", s.log.text())
	}
	if n := strings.Count(s.log.text(), want); n != times {
		t.Errorf("the log has %s %d times, want %d:\n%s", want, n, times, s.log.text())
	}
}

// A logPipe gathers what processes write on standard error.
type logPipe struct {
	logText
	read, write *os.File
	ended       chan struct{}
}

func (l *logPipe) open(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var err error
	if l.read, l.write, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = l.write
	l.ended = make(chan struct{})
	t.Cleanup(func() { l.read.Close() })
}

// begin is called when the process has its end of the pipe.
func (l *logPipe) begin() {
	l.write.Close()
	go func() {
		defer close(l.ended)
		io.Copy(&l.logText, l.read)
	}()
}

// A guest is a peer of the relay.
type guest struct {
	conn       *client.Conn
	restarting bool
}

func (s *service) dial(t *testing.T) *guest {
	t.Helper()
	g, err := s.tryDial()
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log.text())
	}
	t.Cleanup(func() { g.conn.Close() })
	return g
}

// tryDial logs a peer in, and returns when the relay has admitted it.
func (s *service) tryDial() (*guest, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := client.Dial(ctx, client.Config{
		URL: s.url, Key: key.NewPrivate(), InsecureSkipVerify: true, WebSocket: client.WebSocketNever,
	})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Recv(nil); err != nil {
		return nil, err
	}
	return &guest{conn: conn}, nil
}

// untilEnd reads to the end of the connection.
func (g *guest) untilEnd() error {
	for {
		msg, err := g.conn.Recv(nil)
		if err != nil {
			return err
		}
		g.restarting = g.restarting || msg.Kind == client.MessageRestarting
	}
}

// comers connect and leave all the time.
type comers struct {
	came   atomic.Int64
	failed atomic.Pointer[error]
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup
}

func (s *service) connectAllTheTime(t *testing.T) *comers {
	c := new(comers)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for range 2 {
		c.all.Go(func() {
			for c.ctx.Err() == nil {
				g, err := s.tryDial()
				if err != nil {
					c.failed.CompareAndSwap(nil, &err)
					return
				}
				c.came.Add(1)
				g.conn.Close()
			}
		})
	}
	t.Cleanup(c.stop)
	return c
}

// wantMore waits until some more have come.
func (c *comers) wantMore(t *testing.T) {
	t.Helper()
	want := c.came.Load() + 20
	for deadline := time.Now().Add(timeout); c.came.Load() < want && c.failed.Load() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody comes any more")
		}
	}
}

func (c *comers) stop() {
	c.cancel()
	c.all.Wait()
}

// What is passed on to another server goes on in the process before, which waits for it;
// the new one passes on what comes.
func TestTakeoverKeepsWhatIsPassedOn(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the other server") }))
	defer web.Close()
	s := startService(t, "--drain", "10m", "--sni", "git.test="+web.Listener.Addr().String())
	s.wantNotice(t, `^READY=1$`)
	visit := func() *http.Client {
		return &http.Client{Timeout: timeout, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimSuffix(strings.TrimPrefix(s.url, "https://"), "/derp"))
			},
		}}
	}
	wantPage := func(c *http.Client) {
		t.Helper()
		answer, err := c.Get("https://git.test/")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if text, err := io.ReadAll(answer.Body); string(text) != "the other server" {
			t.Fatalf("%s (%v)", text, err)
		}
	}
	before := visit()
	wantPage(before)
	s.cmd.Process.Signal(syscall.SIGUSR2)
	s.wantNotice(t, `^MAINPID=(\d+)\nREADY=1$`)
	s.wantLog(t, `"msg":"draining: other servers' connections may end by themselves","foreign":1`)
	after := visit()
	wantPage(after)
	wantPage(before) // over the connection that it has
	before.CloseIdleConnections()
	if err := <-s.ended; err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	wantPage(after)
	after.CloseIdleConnections()
}
