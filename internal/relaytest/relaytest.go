package relaytest

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A Relay is a relay under test.
type Relay struct {
	*relay.Server
	names

	t      testing.TB
	cancel context.CancelFunc
	ctx    context.Context // of every Serve call

	mu    sync.Mutex
	peers []*Peer // guarded by mu: to hang up at the end
}

// New starts a relay, which ends with the test. In cfg, a missing Key is that of
// the name "server", and nil MeshKeys are the one of [MeshKey].
func New(t testing.TB, cfg relay.Config) *Relay {
	t.Helper()
	if cfg.Key.IsZero() {
		cfg.Key = Key("server")
	}
	if cfg.MeshKeys == nil {
		cfg.MeshKeys = []key.Mesh{MeshKey()}
	}
	s, err := relay.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{Server: s, t: t}
	r.Public("server")
	r.ctx, r.cancel = context.WithCancel(context.Background())
	t.Cleanup(r.end)
	return r
}

// Cancel ends the context of every Serve call.
func (r *Relay) Cancel() { r.cancel() }

// end shuts the relay down and checks what it leaves behind.
func (r *Relay) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		r.t.Errorf("relay does not end: %v", err)
	}
	r.cancel()
	for _, p := range r.everybody() {
		p.Close()
	}
	snap := r.Survey()
	for _, problem := range append(Sums(snap), Remains(snap)...) {
		r.t.Errorf("after the end: %s", problem)
	}
}

func (r *Relay) everybody() []*Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers
}

// CheckSums fails the test if the sums of the relay do not hold now. Packets
// must not be under way.
func (r *Relay) CheckSums() {
	r.t.Helper()
	for _, problem := range Sums(r.Survey()) {
		r.t.Error(problem)
	}
}

// Who is a peer to be: its name, and what it says about itself.
type Who struct {
	Name     string // stands for its key
	Mesh     bool   // with the relay's mesh key
	Prober   bool
	NotIdeal bool // would rather be on the node "ideal"
	AppName  string
	Addr     netip.AddrPort
	Deaf     bool // does not read frames after the login, until Peer.Listen
}

// Dial connects a peer that says nothing and does not read yet.
func (r *Relay) Dial(who Who) *Peer {
	r.t.Helper()
	near, far := net.Pipe()
	return r.DialOver(who, near, netio.Blocking(far, nil))
}

// DialOver is Dial over a stream of the test's own, of which near is the other
// end.
func (r *Relay) DialOver(who Who, near net.Conn, stream relay.Stream) *Peer {
	r.t.Helper()
	from := relay.Origin{Addr: who.Addr}
	if who.NotIdeal {
		from.IdealNode = "ideal"
	}
	return r.dial(who, near, stream, from)
}

// DialFrom is Dial from an origin of the test's own.
func (r *Relay) DialFrom(who Who, from relay.Origin) *Peer {
	r.t.Helper()
	near, far := net.Pipe()
	return r.dial(who, near, netio.Blocking(far, nil), from)
}

func (r *Relay) dial(who Who, near net.Conn, stream relay.Stream, from relay.Origin) *Peer {
	r.t.Helper()
	p := &Peer{
		Conn: near, Key: Key(who.Name), public: r.Public(who.Name),
		who: who, relay: r, served: make(chan struct{}),
	}
	r.mu.Lock()
	r.peers = append(r.peers, p)
	r.mu.Unlock()
	go func() {
		defer close(p.served)
		p.servedErr = r.Serve(r.ctx, stream, from)
	}()
	return p
}

// Join connects a regular peer, which is logged in on return.
func (r *Relay) Join(name string) *Peer {
	r.t.Helper()
	return r.JoinAs(Who{Name: name})
}

// JoinAs connects a peer, which is logged in on return.
func (r *Relay) JoinAs(who Who) *Peer {
	r.t.Helper()
	p := r.Dial(who)
	p.Login()
	return p
}
