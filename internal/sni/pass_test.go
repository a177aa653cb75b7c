package sni

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/internal/logtest"
)

const timeout = 2 * time.Minute

// pair is a connection over a network, both ends.
func pair(t *testing.T, network string) (near, far net.Conn) {
	t.Helper()
	l := listen(t, network)
	near, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{near, far} {
		c.SetDeadline(time.Now().Add(timeout))
		t.Cleanup(func() { c.Close() })
	}
	return near, far
}

func listen(t *testing.T, network string) net.Listener {
	t.Helper()
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// passing is a connection that is passed: its peer, and what the backend has of it.
type passing struct {
	*Passer
	log           *logtest.Log
	peer, backend net.Conn
	done          chan struct{}
}

var from, to = netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("198.51.100.1:443")

// pass has a connection passed over networks: of the peer, and to the backend.
func pass(t *testing.T, peer, network, prefix string, ahead []byte) *passing {
	t.Helper()
	p := &passing{log: new(logtest.Log), done: make(chan struct{})}
	p.Passer = &Passer{Log: p.log.Logger(slog.LevelWarn)}
	l := listen(t, network)
	at := l.Addr().String()
	if network == "unix" {
		at = unixPrefix + at
	}
	var c net.Conn
	p.peer, c = pair(t, peer)
	v := verdict(t, prefix+at)
	go func() {
		defer close(p.done)
		p.Pass(t.Context(), c, ahead, v, from, to)
	}()
	var err error
	if p.backend, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	p.backend.SetDeadline(time.Now().Add(timeout))
	t.Cleanup(func() { p.backend.Close(); p.peer.Close(); <-p.done })
	return p
}

func verdict(t *testing.T, at string) Verdict {
	t.Helper()
	c, err := ParseChoice(at, "a name")
	if err != nil {
		t.Fatal(err)
	}
	return Verdict{Choice: c}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Everything comes through as it is, both ways at once, over every kind of socket, and
// one side may go on after the other has said all.
func TestBytesPassBothWays(t *testing.T) {
	for _, networks := range [][2]string{{"tcp", "tcp"}, {"tcp", "unix"}, {"unix", "tcp"}, {"unix", "unix"}} {
		t.Run(networks[0]+" to "+networks[1], func(t *testing.T) {
			ahead, in, out := noise(1700), noise(20<<20), noise(17<<20)
			p := pass(t, networks[0], networks[1], "", ahead)
			var both sync.WaitGroup
			both.Go(func() { p.peer.Write(in); p.peer.(interface{ CloseWrite() error }).CloseWrite() })
			both.Go(func() { wantAll(t, p.backend, append(bytes.Clone(ahead), in...)) })
			both.Wait()
			both.Go(func() { p.backend.Write(out); p.backend.(interface{ CloseWrite() error }).CloseWrite() })
			wantAll(t, p.peer, out) // after its own half is closed
			both.Wait()
			<-p.done
			got := p.Snapshot()
			if want := (Snapshot{Passed: 1, BytesIn: uint64(len(ahead) + len(in)), BytesOut: uint64(len(out))}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

func wantAll(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes (%v), want %d", len(got), err, len(want))
	}
}

// A backend that says all it has first is half-closed, too.
func TestTheBackendMayEndFirst(t *testing.T) {
	p := pass(t, "tcp", "tcp", "", []byte("hello"))
	p.backend.Write([]byte("bye"))
	p.backend.(*net.TCPConn).CloseWrite()
	wantAll(t, p.peer, []byte("bye"))
	p.peer.Write([]byte(" and more"))
	p.peer.Close()
	wantAll(t, p.backend, []byte("hello and more"))
	<-p.done
}

// Who breaks off breaks both off, also where the other says nothing.
func TestABreakEndsBoth(t *testing.T) {
	for name, breaks := range map[string]func(p *passing) (other net.Conn){
		"peer":    func(p *passing) net.Conn { p.peer.(*net.TCPConn).SetLinger(0); p.peer.Close(); return p.backend },
		"backend": func(p *passing) net.Conn { p.backend.(*net.TCPConn).SetLinger(0); p.backend.Close(); return p.peer },
	} {
		p := pass(t, "tcp", "tcp", "", []byte("hello"))
		if _, err := io.ReadFull(p.backend, make([]byte, 5)); err != nil { // now it is taken
			t.Fatal(err)
		}
		other := breaks(p)
		<-p.done
		if _, err := io.Copy(io.Discard, other); isTimeout(err) {
			t.Errorf("the %s has broken off, and the other side is open", name)
		}
		if got := p.Snapshot(); got.Open != 0 || got.Passed != 1 {
			t.Errorf("%+v", got)
		}
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// A backend that asks for it is told where the peer comes from, before all else.
func TestTheHeaderComesFirst(t *testing.T) {
	p := pass(t, "tcp", "tcp", HeaderPrefix, []byte("hello"))
	got, ahead, err := behind.ReadHeader(p.backend)
	if err != nil || got != from || string(ahead) != "hello" {
		t.Errorf("from %v, %q: %v", got, ahead, err)
	}
}

// A backend that is away costs the peer its connection, and a line a minute.
func TestABackendThatIsDown(t *testing.T) {
	at := unixPrefix + filepath.Join(t.TempDir(), "nobody") // a port could be somebody's by now
	v := verdict(t, at)
	var log logtest.Log
	p := &Passer{Log: log.Logger(slog.LevelWarn)}
	for range 3 {
		peer, c := pair(t, "tcp")
		p.Pass(t.Context(), c, []byte("hello"), v, from, to)
		if _, err := io.Copy(io.Discard, peer); isTimeout(err) {
			t.Error("the peer waits")
		}
	}
	if got := p.Snapshot(); got.Refused.Down != 3 || got.Passed != 0 {
		t.Errorf("%+v", got)
	}
	if n := log.Lines("does not answer", `name="a name"`, "backend="+at, "remedy="); n != 1 {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}

// A backend that is the relay itself would be asked for ever.
func TestALoopIsNotEntered(t *testing.T) {
	l := listen(t, "tcp")
	var log logtest.Log
	p := &Passer{Log: log.Logger(slog.LevelWarn), IsSelf: func(c net.Conn) bool { return c.RemoteAddr().String() == l.Addr().String() }}
	_, c := pair(t, "tcp")
	p.Pass(t.Context(), c, []byte("hello"), verdict(t, l.Addr().String()), from, to)
	if got := p.Snapshot(); got.Refused.Loop != 1 || got.Passed != 0 || log.Lines("lead back") != 1 {
		t.Errorf("%+v\n%s", got, &log)
	}
	at, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	at.SetDeadline(time.Now().Add(timeout))
	wantAll(t, at, nil)
}

// Who ends the process ends what it passes, also while nobody says anything.
func TestTheEndOfAll(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := listen(t, "tcp")
	p := &Passer{Log: slog.New(slog.DiscardHandler)}
	peer, c := pair(t, "tcp")
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Pass(ctx, c, []byte("hello"), verdict(t, l.Addr().String()), from, to)
	}()
	backend, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	backend.SetDeadline(time.Now().Add(timeout))
	io.ReadFull(backend, make([]byte, 5))
	cancel()
	<-done
	for _, c := range []net.Conn{peer, backend} {
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			t.Error("one side is open")
		}
	}
	p.Pass(ctx, c, nil, verdict(t, l.Addr().String()), from, to) // too late: nothing is dialled
	if got := p.Snapshot(); got.Open != 0 || got.Refused.Down != 1 {
		t.Errorf("%+v", got)
	}
}
