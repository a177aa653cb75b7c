package pair

import (
	"fmt"
	"time"

	"github.com/detour-relay/detour/internal/pairing"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

func (p *Pair) wakeKeeper() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// moved notes where we are at home now, and has all peers told.
func (p *Pair) moved(region int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if region == p.home {
		return
	}
	p.home, p.saving.home = region, region
	p.number++
	for _, is := range p.peers {
		is.tell = p.newCall(is.Home, mostTellRest)
	}
	p.dirtyLocked()
	p.wakeKeeper()
}

// idleTime is how long the keeper sleeps if there is nothing to do.
const idleTime = time.Hour

// keep is the keeper.
func (p *Pair) keep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var n news
		select {
		case l := <-p.letters:
			n = p.read(l)
		case <-timer.C:
		case <-p.wake:
		case <-p.ctx.Done():
			return
		}
		more, rest := p.act(time.Now())
		timer.Reset(rest)
		p.tell(n)
		p.tell(more)
	}
}

// news is what the owner of a Pair is told, without a lock.
type news struct {
	events  []tailnet.Event
	reached key.Public // zero: nobody
	refused error
}

func (p *Pair) tell(n news) {
	for _, e := range n.events {
		if p.cfg.OnEvent != nil {
			p.cfg.OnEvent(e)
		}
	}
	if !n.reached.IsZero() && p.cfg.OnReached != nil {
		p.cfg.OnReached(n.reached)
	}
	if n.refused != nil && p.cfg.OnRefused != nil {
		p.cfg.OnRefused(n.refused)
	}
}

// act does what is due, and returns how long there is nothing to do.
func (p *Pair) act(now time.Time) (n news, rest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	due := deadline(now.Add(idleTime))
	if p.hello != nil {
		n.refused = p.greetLocked(now, &due)
	}
	for k, is := range p.peers {
		if p.home != 0 && !is.tell.over {
			p.callLocked(&is.tell, k, func() []byte { return is.link.Tell(pairing.Here{About: p.aboutLocked(), Number: p.number}) })
			due.sooner(is.tell.next)
		}
	}
	if p.saving.dirty && !now.Before(p.saving.next) {
		n.events = p.saveOrTellLocked()
	}
	if p.saving.dirty {
		due.sooner(p.saving.next)
	}
	return n, max(time.Time(due).Sub(now), 0)
}

// deadline is the earliest of several times.
type deadline time.Time

func (d *deadline) sooner(t time.Time) {
	if t.Before(time.Time(*d)) {
		*d = deadline(t)
	}
}

// greetLocked says hello if it is time to, and returns why that makes no sense any more.
func (p *Pair) greetLocked(now time.Time, due *deadline) error {
	h := p.hello
	if !now.Before(h.until) {
		p.hello, p.futile = nil, true
		return fmt.Errorf("%w within %.0f minutes", ErrNoAnswer, pairing.Lifetime.Minutes())
	}
	due.sooner(h.until)
	if p.home != 0 {
		p.callLocked(&h.call, h.to, func() []byte { return h.guest.Hello(p.aboutLocked()) })
		due.sooner(h.call.next)
	}
	return nil
}

// callLocked says something to a peer if it is time to.
func (p *Pair) callLocked(c *call, to key.Public, packet func() []byte) {
	if region, ok := c.due(time.Now()); ok {
		p.host.SetPeerHome(to, region)
		p.sendLocked(to, packet())
	}
}

func (p *Pair) sendLocked(to key.Public, packet []byte) {
	if err := p.host.Send(to, packet); err != nil {
		p.log.Debug("a packet of pairing is lost", "peer", to.Short(), "reason", err)
	}
}

func (p *Pair) aboutLocked() pairing.About {
	return pairing.About{Name: p.name, Home: p.home, Disco: p.cfg.Disco}
}

// saveOrTellLocked writes the state file, and tells of it if that fails and did not
// before.
func (p *Pair) saveOrTellLocked() []tailnet.Event {
	return p.unsavedLocked(p.saveLocked(), "")
}

// unsavedLocked tells why the state file cannot be written, once until it can.
func (p *Pair) unsavedLocked(err error, meaning string) []tailnet.Event {
	if err == nil || p.saving.told {
		return nil
	}
	p.saving.told = true
	return []tailnet.Event{{Type: tailnet.NotSaved, Err: fmt.Errorf("%s%w", meaning, err)}}
}
