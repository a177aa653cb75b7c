package tailnet

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/key"
)

// A Member, in the order of what happens:
//
//  1. Open (open.go) reads the state file (statefile.go), or joins (session.go).
//  2. The loop (loop.go) keeps to a coordinator (contact.go): it logs in and follows the
//     stream (stream.go), whose events change the view (view.go).
//  3. What has changed goes to the Host (host.go), to OnEvent, and some time later to
//     the state file (save.go).
//  4. The home of the Host is reported (report.go), again after each connect, and who is
//     heard of by nobody but the relays is asked about (ask.go).

// Config says who a member is. StateFile is required, and Invite until there is a state
// file.
type Config struct {
	// StateFile has all that the member needs while no coordinator can be reached, its
	// private key included. It is made by the first Open; the directory, too. One process
	// at a time may have it open.
	StateFile string

	// Invite makes a member of who is none yet. If there is a state file of the same
	// tailnet, it tells where the coordinators are now, and is used only if the tailnet
	// does not have the member any more.
	Invite string

	// Key is who the member is, where somebody else keeps the key, such as a WireGuard
	// device: a state file that is made then does not hold it. Zero: the key of the state
	// file, or a new one.
	Key key.Private

	Name    string     // to join with: a label of DNS; empty: the one it had, or else the host's. A number is added to one that is taken
	Version string     // of the program, told to operators; at most 64 bytes
	Disco   key.Public // told to peers; zero: none

	// OnEvent is told what changes, one call at a time and in order. It must return soon:
	// nothing is read from the coordinator meanwhile. It must not call Close.
	OnEvent func(Event)

	RootCAs     *x509.CertPool                                                    // for coordinators without a pin; nil: those of the system
	Proxy       func(*http.Request) (*url.URL, error)                             // nil: from the environment, as in package client
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer

	Logger *slog.Logger // nil discards

	wall func() time.Time // of tests; nil: time.Now
}

// Self is who the member is.
type Self struct {
	Key         key.Public
	Tailnet     string // its ID, which does not change
	TailnetName string
	Name        string
	Addresses   []netip.Addr
}

// Peer is another member of the tailnet. Addresses is shared and not to be written to.
type Peer struct {
	Key       key.Public
	Name      string // empty: it has none that can be printed
	Addresses []netip.Addr
	Home      int        // region; 0: not known
	Disco     key.Public // zero: none
	Online    bool       // only from Ask
}

// Phase is how far a member is with its coordinator.
type Phase string

const (
	Away      Phase = "away"      // no coordinator: what was known last counts
	Resuming  Phase = "resuming"  // connected, and not yet told all
	Connected Phase = "connected" // all that the coordinator knows is known
	Removed   Phase = "removed"   // the tailnet does not have this member; it asks again from time to time
)

// State is what a member is doing.
type State struct {
	Phase       Phase
	Since       time.Time // of Phase
	Err         error     // why it is away or removed; nil: not yet known, or it is neither
	Coordinator string    // URL of the one that is talked to, or was last
	Retry       time.Time // when the next is tried; zero: it is being tried, or connected

	Current  time.Time // when all was known last: the age of peers and map; zero: never
	Stale    bool      // the coordinator cannot hear its engine, so there may be news
	MapErr   error     // why the last map was not taken
	SaveErr  error     // why the state file could not be written last
	Conflict bool      // another machine reports with the same key

	Home          int       // region that the coordinators have of us, as far as we know; 0: none
	ReportPending time.Time // since when a home waits to be taken; zero: none does
	ReportErr     error     // why it does
}

// EventType says what an Event is.
type EventType string

const (
	PeerAdded   EventType = "peer-added"
	PeerChanged EventType = "peer-changed"
	PeerGone    EventType = "peer-gone"    // it is no member any more
	SelfChanged EventType = "self-changed" // name or addresses
	MapChanged  EventType = "map-changed"
	IsConnected EventType = "connected" // all is known
	IsAway      EventType = "away"      // Err: why
	WasRemoved  EventType = "removed"   // the tailnet does not have this member any more
	HasRival    EventType = "conflict"  // another machine reports with the same key, see State.Conflict
	NotSaved    EventType = "not-saved" // Err: why the state file cannot be written; told once until it can
)

// Event is something that has changed. Peers from the state file are no events.
type Event struct {
	Type   EventType
	Peer   Peer // of events about peers; as it was, if it is gone
	Before Peer // of PeerChanged
	Err    error
}

// Member is a peer's membership in a tailnet. Any number of goroutines may call it.
type Member struct {
	// Set once, by Open.
	cfg      Config
	log      *slog.Logger
	key      key.Private
	invite   *coordapi.Invite // nil: none
	contacts []*contact
	release  func()
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup
	closing  sync.Once

	network chan struct{}   // NetworkChanged
	due     chan struct{}   // a report is
	dirty   chan struct{}   // the state file is
	unknown chan key.Public // to ask about

	logins sync.Mutex // held while logging in
	events sync.Mutex // held while OnEvent runs
	told   Phase      // the last one that OnEvent heard of; owned by the loop

	// feed is held while something changes and the Host is told, so that it hears all in
	// order. It is taken before mu.
	feed sync.Mutex
	host *hosted // guarded by feed; nil: none

	mu      sync.Mutex
	view    view    // guarded by mu
	state   State   // guarded by mu
	session string  // guarded by mu: bearer token; empty: none
	reports reports // guarded by mu
	save    saving  // guarded by mu

	mapChanged   retry.Broadcast
	peersChanged retry.Broadcast
	reported     retry.Broadcast // a report was taken, or was not
}

// Self tells who the member is.
func (m *Member) Self() Self {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.self
}

// PrivateKey is the member's own, for a WireGuard device: the others know it by one key.
func (m *Member) PrivateKey() key.Private { return m.key }

// State returns the state of now. It never waits.
func (m *Member) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state
	s.Current = m.currentLocked()
	return s
}

// currentLocked is when all was known last.
func (m *Member) currentLocked() time.Time {
	if m.state.Phase == Connected {
		return time.Now()
	}
	return m.state.Current
}

// Peers returns the other members, as far as they are known, in the order of their names.
func (m *Member) Peers() []Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.sorted()
}

// Peer returns the one with that key.
func (m *Member) Peer(k key.Public) (p Peer, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, known = m.view.peers[k]
	return p, known
}

// PeerNamed returns the one with that name.
func (m *Member) PeerNamed(name string) (p Peer, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.named(name)
}

// AwaitPeer waits until a peer of that name is known, and its home: where a Host that has a
// home itself (Host.AwaitHome) can send to. Its errors are those of ctx, and ErrClosed.
func (m *Member) AwaitPeer(ctx context.Context, name string) (Peer, error) {
	for {
		news := m.peersChanged.Wait()
		if p, _ := m.PeerNamed(name); p.Home != 0 {
			return p, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Peer{}, context.Cause(ctx)
		case <-m.ctx.Done():
			return Peer{}, ErrClosed
		}
	}
}

// Map returns the DERP map, which is shared and not to be written to; nil: there is none
// yet.
func (m *Member) Map() *derpmap.Map {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.view.derpMap
}

// NetworkChanged tells that interfaces, addresses or routes of this host have changed: a
// coordinator is connected anew, at once.
func (m *Member) NetworkChanged() { wake(m.network) }

// Close ends the member, and writes the state file. A Host that it made goes on with what
// it knows, so close that before. Close may be called more than once; when it returns, no
// goroutine is left.
func (m *Member) Close() error {
	m.closing.Do(func() {
		m.cancel()
		m.running.Wait()
		for _, c := range m.contacts {
			c.http.CloseIdleConnections()
		}
		m.saveNow()
		m.release()
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.SaveErr
}

// wake has the reader of a channel with room for one look.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (m *Member) tell(events ...Event) {
	if m.cfg.OnEvent == nil {
		return
	}
	m.events.Lock()
	defer m.events.Unlock()
	for _, e := range events {
		m.cfg.OnEvent(e)
	}
}
