package pair

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/pairing"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// A Pair, in the order of what happens:
//
//  1. Open (open.go) reads the state file (statefile.go), or makes one.
//  2. Host makes the Host. The keeper (keeper.go) says hello and tells peers where we are,
//     by calls (call.go), and takes what they say (letters.go).

// Paired is the phase of a Pair.
const Paired tailnet.Phase = "paired"

// Config says who a Pair is. StateFile is required, and until there is one, Token or
// Relays.
type Config struct {
	StateFile string
	Token     string          // of the one to be paired with; empty: none
	Relays    []pairing.Relay // instead of those in the state file; empty: those
	Name      string          // that peers hear, a label of DNS; empty: the one before, or else the host's
	Disco     key.Public      // by which we look for direct paths in this run; zero: we do not

	OnEvent   func(tailnet.Event) // peers that are added or change, and what is not saved; as in tailnet.Config
	OnReached func(key.Public)    // a peer answers, for the first time in this run; of a guest that has come in it, that one hears
	OnRefused func(error)         // no more is to be hoped of the token: pairing.ErrUsed and the like, or ErrNoAnswer

	Logger *slog.Logger // nil discards
}

// Why Open fails, or a token does.
var (
	ErrNotPaired   = errors.New("this machine is paired with none yet")
	ErrInUse       = tailnet.ErrInUse
	ErrDamaged     = errors.New("the state file of a pair is damaged")
	ErrNewer       = errors.New("the state file of a pair was written by a newer version")
	ErrOtherRelays = errors.New("the token is for other relays than those of the state file, by which other machines are reached")
	ErrName        = tailnet.ErrName
	ErrNoAnswer    = errors.New("the other machine has not answered")

	errWaiting = errors.New("the other machine has not answered the token yet")
)

// sender is what a Pair needs of its Host.
type sender interface {
	SetPeerHome(peer key.Public, region int)
	Send(peer key.Public, packet []byte) error
}

// Pair is this machine, and those that it is paired with. Any number of goroutines may
// call it.
type Pair struct {
	// Set once, by Open.
	cfg     Config
	log     *slog.Logger
	key     key.Private
	relays  []pairing.Relay
	regions *derpmap.Map
	born    time.Time
	release func()
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup
	closing sync.Once

	letters chan letter   // that have come in
	wake    chan struct{} // something is to be done

	mu     sync.Mutex
	host   sender // guarded by mu; nil: none yet
	name   string
	home   int    // region; 0: none yet
	boot   uint64 // how often it was started, at least
	number uint64 // of what peers are to know of us
	door   *pairing.Door
	peers  map[key.Public]*known
	hello  *hello // nil: we are no guest, or not any more
	futile bool   // a token was good for nothing
	saving saving
}

// known is a peer.
type known struct {
	tailnet.Peer
	preshared [32]byte
	last      uint64 // number of what it has told of itself
	link      *pairing.Link
	tell      call // until it knows of us what it is to know
	reached   bool
}

// hello is what a guest says.
type hello struct {
	guest *pairing.Guest
	to    key.Public
	call  call
	until time.Time
}

// Self tells who this machine is. There is no tailnet.
func (p *Pair) Self() tailnet.Self {
	p.mu.Lock()
	defer p.mu.Unlock()
	return tailnet.Self{Key: p.key.Public(), Name: p.name, Addresses: addresses(p.key.Public())}
}

func addresses(k key.Public) []netip.Addr {
	both := pairing.Addresses(k)
	return both[:]
}

// PrivateKey is the one of the WireGuard device.
func (p *Pair) PrivateKey() key.Private { return p.key }

// Preshared is the key that WireGuard has with a peer besides; zero: none.
func (p *Pair) Preshared(k key.Public) [32]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if is := p.peers[k]; is != nil {
		return is.preshared
	}
	return [32]byte{}
}

// State tells what there is to tell without a coordinator.
func (p *Pair) State() tailnet.State {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := tailnet.State{Phase: Paired, Since: p.born, Home: p.home, SaveErr: p.saving.err}
	if p.hello != nil {
		s.Err = errWaiting
	}
	return s
}

// Peers returns the others, in the order of their names.
func (p *Pair) Peers() (all []tailnet.Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, is := range p.peers {
		all = append(all, is.Peer)
	}
	slices.SortFunc(all, func(a, b tailnet.Peer) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Peer returns the one with that key.
func (p *Pair) Peer(k key.Public) (tailnet.Peer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if is := p.peers[k]; is != nil {
		return is.Peer, true
	}
	return tailnet.Peer{}, false
}

// PeerNamed returns the one with that name.
func (p *Pair) PeerNamed(name string) (tailnet.Peer, bool) {
	for _, peer := range p.Peers() {
		if peer.Name == name {
			return peer, true
		}
	}
	return tailnet.Peer{}, false
}

// Ask knows no more than Peer.
func (p *Pair) Ask(context.Context, key.Public) (tailnet.Peer, error) {
	return tailnet.Peer{}, tailnet.ErrNoPeer
}

// Map has the relays.
func (p *Pair) Map() *derpmap.Map { return p.regions }

// NetworkChanged does nothing: a Pair has no connection besides the Host's.
func (p *Pair) NetworkChanged() {}

// Host makes the Host, as tailnet.Member.Host does. There is one in the life of a Pair.
func (p *Pair) Host(cfg client.HostConfig) (*client.Host, error) {
	cfg.Key, cfg.Map, cfg.ReportHome = p.key, p.regions, func(_ context.Context, home client.Home) error {
		p.moved(home.Region)
		return nil // peers are told in time: the home before stays open for a while
	}
	cfg.ReportedHome = p.saving.home
	host, err := client.NewHost(cfg)
	if err != nil {
		return nil, err
	}
	p.attach(host)
	return host, nil
}

// attach begins, with a Host.
func (p *Pair) attach(host sender) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host = host
	for k, is := range p.peers {
		host.SetPeerHome(k, is.Home)
	}
	p.running.Go(p.keep)
}

// Invite makes a token for one more machine. It is in the state file before it is told.
func (p *Pair) Invite() (pairing.Token, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	t := pairing.NewToken(p.key.Public(), p.relays, p.home, now)
	before := slices.Clone(p.door.Invitations)
	p.door.Invite(t, now)
	if err := p.saveLocked(); err != nil {
		p.door.Invitations = before
		return pairing.Token{}, err
	}
	return t, nil
}

// Relays are those by which all are reached.
func (p *Pair) Relays() []pairing.Relay { return slices.Clone(p.relays) }

// Waits reports whether this is a guest that is not welcome yet.
func (p *Pair) Waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hello != nil
}

// Close ends it, and writes the state file, or removes it if nobody knows its key. It may
// be called more than once; when it returns, no goroutine is left.
func (p *Pair) Close() error {
	p.closing.Do(func() {
		p.cancel()
		p.running.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case p.futile && len(p.peers) == 0 && len(p.door.Invitations) == 0:
			os.Remove(p.cfg.StateFile)
		case p.saving.dirty:
			p.saveLocked()
		}
		p.release()
	})
	return p.State().SaveErr
}

// nameForLocked is what a peer is called here: as it calls itself, if that can be, with a
// number if another one is called so.
func (p *Pair) nameForLocked(k key.Public, wanted string) string {
	name := coordstate.Label(wanted)
	if name == "" {
		return ""
	}
	return coordstate.Numbered(name, func(name string) bool {
		if name == p.name {
			return true
		}
		for other, is := range p.peers {
			if other != k && is.Name == name {
				return true
			}
		}
		return false
	})
}
