package admit

import (
	"context"
	"iter"
	"maps"
	"sync"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const (
	// tend is how often the connected are looked through without a reason, and those
	// asked about whose time has come.
	tend = 10 * time.Second

	// closest bounds how often that happens when there are many reasons.
	closest = 100 * time.Millisecond

	// longestConfirmed is how long a connected peer stays without grace, while the
	// source is asked again and does not answer: two rounds of asking.
	longestConfirmed = 20 * time.Minute

	// The connected are asked about between five and ten minutes after their last
	// confirmation, each at a time of its own, and not sooner than this again.
	askAgain   = 5 * time.Minute
	askSpread  = 5 * time.Minute
	askSoonest = 30 * time.Second

	mostTold = 20 // revocations that are logged one by one in a sweep
)

// again is when the connected are looked through once more after a change: who was
// being admitted meanwhile is connected by then.
var again = []time.Duration{0, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}

// revoking is what is to be looked through.
type revoking struct {
	wake   chan struct{}
	state  *sync.Mutex
	causes map[key.Public]denial    // guarded by state: who refused which key
	due    map[time.Time]string     // guarded by state: when, and for what
	spared map[key.Public]time.Time // guarded by state: they are asked about before anything happens to them; when they were here last
}

type denial struct {
	source string
	at     time.Time
}

func newRevoking() revoking {
	return revoking{make(chan struct{}, 1), new(sync.Mutex), map[key.Public]denial{}, map[time.Time]string{}, map[key.Public]time.Time{}}
}

// blame notes which source has refused a key.
func (v *revoking) blame(k key.Public, source string) {
	v.state.Lock()
	defer v.state.Unlock()
	v.causes[k] = denial{source, time.Now()}
}

// spare notes whether a key is to be asked about first, and returns whether it was.
func (v *revoking) spare(k key.Public, first bool) (was bool) {
	v.state.Lock()
	defer v.state.Unlock()
	_, was = v.spared[k]
	if delete(v.spared, k); first {
		v.spared[k] = time.Now()
	}
	return was
}

func (v *revoking) isSpared(k key.Public) bool {
	v.state.Lock()
	defer v.state.Unlock()
	_, spared := v.spared[k]
	return spared
}

// sweep has the connected looked through, because something has changed.
func (v *revoking) sweep(source string) {
	now := time.Now()
	v.state.Lock()
	for _, d := range again {
		v.due[now.Add(d).Truncate(closest)] = source
	}
	v.state.Unlock()
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// at has them looked through at a time to come.
func (v *revoking) at(when time.Time, source string) {
	v.state.Lock()
	defer v.state.Unlock()
	v.due[when.Truncate(closest)] = source
}

// next takes what is due, and says how long until there is more.
func (v *revoking) next(now time.Time) (source string, due bool, wait time.Duration) {
	v.state.Lock()
	defer v.state.Unlock()
	wait = tend
	for when, cause := range v.due {
		if left := when.Sub(now); left > 0 {
			wait = min(wait, left)
			continue
		}
		source, due = cause, true
		delete(v.due, when)
	}
	if due {
		wait = max(wait, closest)
	}
	maps.DeleteFunc(v.causes, func(_ key.Public, c denial) bool { return now.Sub(c.at) > 2*tend })
	return source, due, wait
}

// cause is who has refused a key a moment ago.
func (v *revoking) cause(k key.Public) string {
	v.state.Lock()
	defer v.state.Unlock()
	return v.causes[k].source
}

// reason is why a conn is to be closed; a nil err: it stays.
type reason struct {
	err    error
	source string
}

// unwanted says whether a conn may stay, and until when that is known.
func (c *Chain) unwanted(r *rules, p *relay.PeerState, now time.Time) (why reason, until time.Time) {
	if p.Sibling || c.exempt(p.Peer) {
		return reason{}, until
	}
	d, settled := r.decide(p.Peer, p.AppName, now)
	switch {
	case settled && d.refused == nil:
		return reason{}, d.admission.Until
	case settled && d.refused.Reason == Banned:
		return reason{relay.ErrBanned, SourceBan}, until
	case settled:
		return reason{relay.ErrRevoked, d.source}, until
	}
	if len(r.sources) > 0 {
		if seen, ok := c.memory.of(p.Peer); ok && now.Sub(seen.at) <= max(r.grace, longestConfirmed) {
			return reason{}, until
		}
		if c.revoking.isSpared(p.Peer) {
			return reason{}, until
		}
	}
	return reason{relay.ErrRevoked, d.source}, until
}

// undecided ranges over the connected about whom only sources can say anything.
func (c *Chain) undecided(r *rules, now time.Time) iter.Seq[relay.PeerState] {
	return func(yield func(relay.PeerState) bool) {
		if len(r.sources) == 0 || r.everyone {
			return
		}
		c.peers.Peers(func(p relay.PeerState) bool {
			if p.Sibling || c.exempt(p.Peer) {
				return true
			}
			_, settled := r.decide(p.Peer, p.AppName, now)
			return settled || yield(p)
		})
	}
}

// askFirst asks about the connected whom nobody has been asked about yet, before they
// are closed: they came in by other rules.
func (c *Chain) askFirst(r *rules, now time.Time) {
	for p := range c.undecided(r, now) {
		if _, known := c.memory.of(p.Peer); !known && !c.revoking.spare(p.Peer, true) {
			c.askAbout(r, &p, confirmation{}, now) // if too many are asked about, askConnected does
		}
	}
}

// look goes through the connected, and closes who is not admitted any more.
func (c *Chain) look(source string, now time.Time) {
	r := c.rules.Load()
	if source == "" && now.Sub(r.changed.at) <= again[len(again)-1] {
		source = r.changed.source // the word of it is on its way
	}
	found := map[reason]map[key.Public]bool{}
	first := time.Time{}
	c.peers.Peers(func(p relay.PeerState) bool {
		c.revoking.keep(p.Peer, now)
		why, until := c.unwanted(r, &p, now)
		if why.err != nil {
			why.source = attribute(why.source, source, c.revoking.cause(p.Peer))
			if found[why] == nil {
				found[why] = map[key.Public]bool{}
			}
			found[why][p.Peer] = true
		}
		if !until.IsZero() && (first.IsZero() || until.Before(first)) {
			first = until
		}
		return true
	})
	c.revoking.forgetLeft(now)
	if !first.IsZero() {
		c.revoking.at(first.Add(closest), SourceNone)
	}
	for why, keys := range found {
		c.close(func(p relay.PeerState) bool {
			if !keys[p.Peer] {
				return false
			}
			now, _ := c.unwanted(r, &p, now)
			return now.err == why.err
		}, why.err, why.source)
	}
}

// attribute names who has revoked: who decided, else who refused the key, else what
// has changed.
func attribute(decided, changed, refused string) string {
	switch {
	case decided != SourceNone:
		return decided
	case refused != "":
		return refused
	case changed == "" || changed == SourceBan:
		return SourceNone
	}
	return changed
}

// close ends the conns that match.
func (c *Chain) close(match func(relay.PeerState) bool, why error, source string) {
	var told []key.Public
	closed := c.peers.Close(func(p relay.PeerState) bool {
		if !match(p) {
			return false
		}
		if len(told) < mostTold {
			told = append(told, p.Peer)
		}
		return true
	}, why, 0)
	if closed == 0 {
		return
	}
	c.counts.revoked(source, closed)
	for _, k := range told {
		c.log.Info("a peer is cut off", "peer", k.String(), "source", source, "reason", why)
	}
	if closed > len(told) {
		c.log.Info("more peers are cut off", "count", closed-len(told), "source", source, "reason", why)
	}
}

// askConnected asks about those whose time has come.
func (c *Chain) askConnected(r *rules, now time.Time) {
	missed := 0
	for p := range c.undecided(r, now) {
		seen, ok := c.memory.of(p.Peer)
		switch {
		case ok && missed < mostMissed && r.missed(seen, now):
			missed++
		case ok && c.due(r, p.Peer, seen, now), !ok && c.revoking.isSpared(p.Peer):
		default:
			continue
		}
		c.askAbout(r, &p, seen, now)
	}
}

// due reports whether a key is to be asked about. Each has its own time, so that those
// who came together are not asked about together.
func (c *Chain) due(r *rules, k key.Public, seen confirmation, now time.Time) bool {
	if now.Sub(seen.asked) < askSoonest {
		return false
	}
	share := time.Duration(k[0])<<8 | time.Duration(k[1])
	wait := askAgain + askSpread*share/(1<<16)
	return now.Sub(seen.at) >= wait && now.Sub(seen.asked) >= wait || r.kindOf(seen.by) == SourceGrace
}

// askAbout asks about a key, for which nobody waits, unless too many are asked about.
func (c *Chain) askAbout(r *rules, p *relay.PeerState, seen confirmation, now time.Time) {
	c.memory.asking(p.Peer, now)
	q := c.questions.ask(&question{key: p.Peer, from: p.Addr.Addr(), known: true, by: seen.by, sources: r.sources, timeout: r.timeout})
	if q != nil {
		c.questions.leave(q)
	}
}

// tendUntil looks through the connected until ctx is done.
func (c *Chain) tendUntil(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var tended time.Time
	for {
		now := time.Now()
		source, due, wait := c.revoking.next(now)
		if now.Sub(tended) >= tend {
			tended, due = now, true
			r := c.rules.Load()
			c.memory.prune(now, max(r.grace, longestConfirmed))
			c.askConnected(r, now)
		}
		if due {
			c.look(source, now)
		}
		timer.Reset(min(wait, tend-now.Sub(tended)))
		select {
		case <-timer.C:
		case <-c.revoking.wake:
			// What comes at the same time is looked through together.
			if !due {
				continue
			}
			select {
			case <-time.After(closest):
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
