package relaytest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
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
	peers []*Peer                    // guarded by mu: to hang up at the end
	left  map[uint64]relay.PeerState // guarded by mu: conns that have ended, by ID
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
	r := &Relay{t: t, left: make(map[uint64]relay.PeerState)}
	told := cfg.Ended
	cfg.Ended = func(p relay.PeerState) {
		r.noteLeft(p)
		if told != nil {
			told(p)
		}
	}
	s, err := relay.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
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
	problems := append(r.problems(), Remains(snap)...)
	if last := slices.Max(append(slices.Collect(maps.Keys(r.left)), 0)); last != uint64(len(r.left)) {
		problems = append(problems, fmt.Sprintf("%d conns were told of that ended, the last with the number %d", len(r.left), last))
	}
	for _, problem := range problems {
		r.t.Errorf("after the end: %s", problem)
	}
}

// noteLeft keeps the last figures of a conn.
func (r *Relay) noteLeft(p relay.PeerState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, twice := r.left[p.ID]; twice || p.ID == 0 || p.Queued != 0 {
		r.t.Errorf("a conn has ended twice, or has no number, or something waits for it: %+v", p)
	}
	r.left[p.ID] = p
}

// problems returns what does not add up.
func (r *Relay) problems() []string {
	r.mu.Lock()
	conns := slices.Collect(maps.Values(r.left))
	r.mu.Unlock()
	queued := 0
	for p := range r.Peers {
		conns = append(conns, p)
		queued += p.Queued
	}
	s := r.Survey()
	for _, l := range s.Links {
		queued += l.Queued
	}
	return append(Sums(s, int64(queued)), Accounts(s, conns)...)
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
	for _, problem := range r.problems() {
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
		p.servedErr = r.serve(stream, from)
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
