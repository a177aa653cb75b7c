package page

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/key"
)

// foreign is a name of somebody else that leads to the relay's machine.
const foreign = "evil.example"

// A stand is a relay with its page.
type stand struct {
	relay  *daemon.Daemon
	socket *control.Client
	origin string // of the page
}

// begin starts a relay to which those come whom it has been told to let in.
func begin(t *testing.T) *stand {
	t.Helper()
	dir, err := os.MkdirTemp("", "d") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := config.Defaults()
	c.Listen, c.STUN, c.SelfCheck, c.Drain = "127.0.0.1:0", config.STUNOff, config.CheckDirect, 0
	c.TLS.Mode, c.Hostname, c.StateDir, c.Admin, c.Access.Managed = config.TLSSelf, "127.0.0.1", dir, "127.0.0.1:0", true
	c.Limits.In = 50 << 20
	d, err := daemon.Open(c, daemon.Options{Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := &stand{relay: d, socket: control.OverSocket(filepath.Join(dir, control.SocketName))}
	t.Cleanup(s.socket.Close)
	for deadline := time.Now().Add(patience); d.State().Phase != front.Serving; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the relay does not serve")
		}
	}
	s.origin = "http://" + d.State().Admin
	return s
}

// A peer is connected to the relay.
type peer struct {
	private key.Private
	config  client.Config
	conn    *client.Conn
	gone    chan struct{} // closed when the relay has ended the connection
}

// login lets a peer in, with a label, and connects it.
func (s *stand) login(t *testing.T, label, app string) *peer {
	t.Helper()
	p := &peer{private: key.NewPrivate(), gone: make(chan struct{})}
	if _, err := s.socket.Order(t.Context(), control.Allow, control.Order{Keys: []key.Public{p.private.Public()}, Label: label}); err != nil {
		t.Fatal(err)
	}
	now := s.relay.State()
	p.config = client.Config{URL: now.URL, CertName: now.Pin, Key: p.private, AppName: app}
	var err error
	if p.conn, _, err = client.Login(t.Context(), p.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	go func() {
		defer close(p.gone)
		for buf := make([]byte, 64<<10); ; {
			if _, err := p.conn.Recv(buf); err != nil {
				return
			}
		}
	}()
	return p
}

// talk has a peer send to another, now more and now less, until the test ends or the
// result is called.
func (p *peer) talk(t *testing.T, to *peer, packets int, pause time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		packet := make([]byte, 1200)
		for i := 0; ; i++ {
			for range 1 + int(float64(packets)*(1+math.Sin(float64(i)/900)/2)) {
				if p.conn.Send(to.private.Public(), packet) != nil {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); sending.Wait() })
	t.Cleanup(stop)
	return stop
}

// link is one that signs in.
func (s *stand) link(t *testing.T) string {
	t.Helper()
	link, err := s.socket.SignIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return link.URLs[0]
}
