package paths

import (
	"crypto/rand"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/disco"
	"github.com/detour-relay/detour/internal/rate"
)

// QuietTime is how long nothing comes by a path that packets are sent to, until it has to
// show that it is there.
const QuietTime = 400 * time.Millisecond

const (
	useTime    = 45 * time.Second // after the last packet sent, the peer is in use
	calledTime = 15 * time.Second // after a call the peer is searched for, too

	trustTime = 6500 * time.Millisecond
	beatTime  = 3 * time.Second
	lostTime  = 3 * time.Second  // after so long in doubt, and lostPings, a path is given up
	keptTime  = 2 * time.Minute  // an unused path is tried again when it is not older
	holdTime  = 30 * time.Second // between changes to better paths
	lostPings = 4

	betterTime = time.Minute          // between looks for a better path,
	goodEnough = 5 * time.Millisecond // unless the round trip is no longer than that
)

// Never is when nothing is to be done.
const Never = time.Duration(math.MaxInt64)

// Config says how a path is to be. Its zero value will do.
type Config struct {
	// FullSize is how large the UDP payload of a full packet is: pings of this size
	// show that a path carries such. 0: paths are not tested for it.
	FullSize int

	// Refuse reports addresses that no path leads to, though they look plausible: those
	// within the tunnel, those of this machine's networks that are nobody's. nil: none.
	Refuse func(netip.Addr) bool

	// Allow reports addresses that are plausible though they do not look so: tests have
	// their peers on loopback. nil: none.
	Allow func(netip.Addr) bool

	Budget  *Budget           // of all peers; nil: one of its own
	NewTxID func() disco.TxID // nil: random
}

// State says how far the way to a peer is.
type State string

const (
	Relay     State = "relay"     // all goes over the relay, and nothing is tried just now
	Searching State = "searching" // likewise, and candidates are pinged
	Both      State = "both"      // packets go over the relay and to an address that is not trusted
	Direct    State = "direct"
)

// A Route is where packets go now: over the relay, to an address, or both.
type Route struct {
	Relay  bool
	Direct netip.AddrPort // not valid: nowhere
}

// A Kind says what to do.
type Kind byte

const (
	SendPing Kind = iota + 1 // to Addr, with TxID and Padding
	SendPong                 // to Addr, with TxID; its source is Addr, too
	SendCall                 // CallMeMaybe over the relay, with the addresses of Own
	AskSelf                  // find out, soon, where we may be reached, and tell Own
)

// An Action is for whoever has sockets.
type Action struct {
	Kind    Kind
	Addr    netip.AddrPort
	TxID    disco.TxID
	Padding int
}

// Counts are what came and was ignored, and how often the path has changed.
type Counts struct {
	Replayed    uint64 // pings that had come before
	Flooded     uint64 // pings and calls beyond their rate
	Implausible uint64 // addresses where no peer can be
	Unasked     uint64 // pongs without a ping
	Changes     uint64 // of the address that packets go to, its loss included
}

// A Peer is the way to one peer. One goroutine at a time uses it. Times are those since
// any fixed moment.
type Peer struct {
	cfg    Config
	own    []netip.AddrPort
	counts Counts

	sent, called time.Duration // last packet to the peer, and its last call
	calling      time.Duration // our last call
	pinged       time.Duration // the peer's last ping
	wondered     time.Duration // when the path was last pinged because nothing came
	wonderRest   time.Duration // until that is done again
	inUse        bool          // at the last decision

	all   candidates
	best  *candidate    // where packets go; nil: over the relay
	since time.Duration // best is best
	doubt time.Duration // since when; never: trusted while it is proven

	asked   time.Duration // first full ping to best without an answer; Never: none
	beat    time.Duration // next ping to best
	better  time.Duration // next look for a better path
	search  search
	trusted *candidate // what was trusted at the last decision

	pings pings
	seen  seen

	unproven, pingRate, pongRate, calledRate, callRate rate.Bucket

	actions []Action
	next    time.Duration
}

// New returns a peer that is reached over the relay.
func New(cfg Config) *Peer {
	if cfg.NewTxID == nil {
		cfg.NewTxID = func() (tx disco.TxID) { rand.Read(tx[:]); return tx }
	}
	if cfg.Budget == nil {
		cfg.Budget = new(Budget)
	}
	return &Peer{cfg: cfg, sent: long, called: long, calling: long, pinged: long, wondered: long, doubt: Never, asked: Never, next: Never, search: newSearch()}
}

// State is that at the last event.
func (p *Peer) State() State {
	switch {
	case p.best != nil && p.trusted == p.best:
		return Direct
	case p.best != nil:
		return Both
	case p.search.isOn():
		return Searching
	}
	return Relay
}

// Route is where packets go, as of the last event.
func (p *Peer) Route() Route {
	r := Route{Relay: p.State() != Direct}
	if p.best != nil {
		r.Direct = p.best.addr
	}
	return r
}

// RoundTrip is that of the direct path; 0: there is none.
func (p *Peer) RoundTrip() time.Duration {
	if p.best == nil {
		return 0
	}
	return p.best.rtt()
}

// Counts returns the numbers up to now.
func (p *Peer) Counts() Counts { return p.counts }

// Next is when Wake wants to be called; Never: not before something happens.
func (p *Peer) Next() time.Duration { return p.next }

// Take returns what is to be done. It is good until the next event.
func (p *Peer) Take() []Action {
	a := p.actions
	p.actions = p.actions[:0]
	return a
}

// Wake is for when time has passed.
func (p *Peer) Wake(now time.Duration) { p.decide(now) }

// Sent notes that packets for the peer were sent, and when the last one came from it by
// UDP. Once a second is enough, and once in QuietTime while none comes.
func (p *Peer) Sent(now, heard time.Duration) {
	p.sent = now
	p.wonder(now, heard)
	p.decide(now)
}

// Own says where we may be reached: what the peer is told, and where it is not. Another
// port of an address is no news: some NATs have one for each time that we look.
func (p *Peer) Own(now time.Duration, own []netip.AddrPort) {
	if slices.Equal(own, p.own) {
		return
	}
	moved := !slices.EqualFunc(own, p.own, func(a, b netip.AddrPort) bool { return a.Addr() == b.Addr() })
	p.own = slices.Clone(own)
	if moved {
		p.search.news(now)
	}
	if moved && p.isWanted(now) && p.trusted == nil || p.search.isOn() {
		p.call(now) // what the peer has been told is wrong
	}
	p.decide(now)
}

// Moved says that the network of this machine has changed: nothing is sure.
func (p *Peer) Moved(now time.Duration) {
	for _, c := range p.all {
		c.proved, c.asked = min(c.proved, now-provenMemory), rate.Bucket{}
	}
	p.search.news(now)
	p.suspect(now)
	p.decide(now)
}

// Ping is for one that came by UDP, and reports whether it counts.
func (p *Peer) Ping(now time.Duration, from netip.AddrPort, tx disco.TxID) bool {
	switch {
	case !p.isAllowed(from, isHost):
		p.counts.Implausible++
		return false
	case !p.seen.isNew(tx):
		p.counts.Replayed++
		return false
	case !p.pongRate.Take(pongLimit, 1, now):
		p.counts.Flooded++
		return false
	}
	p.pinged = now
	p.actions = append(p.actions, Action{Kind: SendPong, Addr: from, TxID: tx})
	c, isNew := p.all.add(now, from, false)
	if c != nil && p.isWanted(now) && p.trusted == nil && !c.isProven(now) {
		p.pingBack(now, c) // what has kept ours away is open now
	}
	if isNew {
		p.suspect(now) // the peer may be somewhere else now
	}
	p.decide(now)
	return true
}

// Pong is for one that came by UDP, and reports whether it answers a ping of ours.
func (p *Peer) Pong(now time.Duration, from netip.AddrPort, tx disco.TxID) bool {
	asked, ok := p.pings.take(now, tx, from)
	c := p.all.find(from)
	if !ok || c == nil {
		p.counts.Unasked++
		return false
	}
	c.answered(now - asked.at)
	c.proved = now
	if asked.full {
		c.full, c.silent, c.narrow = max(c.full, asked.at), 0, false
		if c == p.best {
			p.asked = Never
			if p.doubt != Never && asked.at >= p.doubt {
				p.doubt = Never
			}
		}
	}
	p.choose(now, c)
	p.decide(now)
	return true
}

// Call is for a CallMeMaybe, with the addresses that the peer names. They are not kept.
func (p *Peer) Call(now time.Duration, named []netip.AddrPort) {
	if !p.calledRate.Take(calledLimit, 1, now) {
		p.counts.Flooded++
		return
	}
	p.called = now
	taken := p.named(now, named)
	p.suspect(now)
	if !p.search.begin(now, true) && p.trusted == nil {
		for _, c := range taken {
			p.ping(now, c) // the search that is on has not known of them
		}
	}
	p.decide(now)
}

// named takes the addresses that are plausible for candidates, and returns the new ones.
func (p *Peer) named(now time.Duration, named []netip.AddrPort) (taken candidates) {
	for _, a := range named {
		if !p.isAllowed(a, Plausible) {
			p.counts.Implausible++
			continue
		}
		if c, isNew := p.all.add(now, a, true); c != nil && isNew && len(taken) < mostNamed {
			taken = append(taken, c)
		}
	}
	return taken
}

// isAllowed reports whether an address is worth an answer, or a ping.
func (p *Peer) isAllowed(a netip.AddrPort, plausible func(netip.AddrPort) bool) bool {
	if p.cfg.Refuse != nil && p.cfg.Refuse(a.Addr()) || slices.Contains(p.own, a) {
		return false
	}
	return plausible(a) || p.cfg.Allow != nil && a.Port() != 0 && p.cfg.Allow(a.Addr())
}

// isUsed reports whether a path is to be kept.
func (p *Peer) isUsed(now time.Duration) bool { return now-p.sent < useTime }

// isWanted reports whether one is to be searched for.
func (p *Peer) isWanted(now time.Duration) bool { return p.isUsed(now) || now-p.called < calledTime }
