package pair

import (
	"bytes"
	"fmt"
	"time"

	"github.com/detour-relay/detour/internal/pairing"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// mostLetters is how many packets wait for the keeper. What comes beyond that is lost, and
// said again.
const mostLetters = 64

// A letter is a packet of pairing that has come in.
type letter struct {
	from   key.Public
	packet []byte
}

// Take takes a packet if it is one of pairing. It does not wait, and keeps a copy.
func (p *Pair) Take(from key.Public, packet []byte) bool {
	if !pairing.Is(packet) {
		return false
	}
	select {
	case p.letters <- letter{from, bytes.Clone(packet)}:
	default:
	}
	return true
}

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
	next := now.Add(idleTime)
	soonest := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if h := p.hello; h != nil {
		if now.After(h.until) {
			p.hello, p.futile = nil, true
			n.refused = fmt.Errorf("%w for %v", ErrNoAnswer, pairing.Lifetime)
		} else if p.home != 0 {
			p.callLocked(&h.call, h.to, func() []byte { return h.guest.Hello(p.aboutLocked()) })
			soonest(h.call.next)
		}
		soonest(h.until.Add(time.Millisecond))
	}
	for k, is := range p.peers {
		if p.home != 0 && !is.tell.over {
			p.callLocked(&is.tell, k, func() []byte { return is.link.Tell(pairing.Here{About: p.aboutLocked(), Number: p.number}) })
			soonest(is.tell.next)
		}
	}
	if p.saving.dirty {
		if !now.Before(p.saving.next) {
			n.events = append(n.events, p.saveOrTellLocked()...)
		}
		if p.saving.dirty {
			soonest(p.saving.next)
		}
	}
	return n, max(next.Sub(now), 0)
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

// read takes what has come in.
func (p *Pair) read(l letter) news {
	p.mu.Lock()
	defer p.mu.Unlock()
	if is := p.peers[l.from]; is != nil {
		if h, ok := is.link.Take(l.packet, time.Since(p.born)); ok {
			return p.hereLocked(is, h)
		}
	}
	if h := p.hello; h != nil && l.from == h.to {
		peer, err := h.guest.Take(l.from, l.packet)
		if err != nil {
			p.hello, p.futile = nil, true
			return news{refused: err}
		}
		if peer != nil {
			p.hello = nil
			return news{events: p.welcomedLocked(*peer)}
		}
	}
	return news{events: p.knockedLocked(l)}
}

// hereLocked takes what a peer says of itself, and answers.
func (p *Pair) hereLocked(is *known, h pairing.Here) (n news) {
	before := is.Peer
	if h.Number > is.last {
		is.last = h.Number
		p.dirtyLocked()
	}
	is.Disco = h.Disco
	if h.Home != 0 {
		is.Home = h.Home
	}
	if name := p.nameForLocked(is.Key, h.Name); name != "" {
		is.Name = name
	}
	p.host.SetPeerHome(is.Key, is.Home)
	if h.Answers == p.number {
		is.tell.over = true
		if !is.reached {
			is.reached, n.reached = true, is.Key
		}
	}
	if h.Answers == 0 {
		p.sendLocked(is.Key, is.link.Tell(pairing.Here{About: p.aboutLocked(), Number: p.number, Answers: h.Number}))
	}
	if before.Name != is.Name || before.Home != is.Home || before.Disco != is.Disco {
		n.events = []tailnet.Event{{Type: tailnet.PeerChanged, Peer: is.Peer, Before: before}}
	}
	return n
}

// welcomedLocked is for a guest whose inviter has answered.
func (p *Pair) welcomedLocked(peer pairing.Peer) []tailnet.Event {
	event := p.metLocked(peer)
	return append([]tailnet.Event{event}, p.saveOrTellLocked()...)
}

// metLocked takes a peer. It hears where we are once more: hello and welcome may be old.
func (p *Pair) metLocked(peer pairing.Peer) tailnet.Event {
	event := tailnet.Event{Type: tailnet.PeerAdded}
	if before := p.peers[peer.Key]; before != nil {
		event.Type, event.Before = tailnet.PeerChanged, before.Peer
	}
	is := p.putLocked(peer, 0)
	p.host.SetPeerHome(is.Key, is.Home)
	event.Peer = is.Peer
	return event
}

// knockedLocked is for a packet of whoever it may be: a guest, perhaps. Who it is has to be
// in the state file before it hears that it is welcome.
func (p *Pair) knockedLocked(l letter) (events []tailnet.Event) {
	answer, guest := p.door.Take(l.from, l.packet, p.aboutLocked(), time.Now())
	if guest == nil {
		if answer != nil {
			p.log.Info("a machine says hello with a token that does not count any more", "peer", l.from.Short())
			p.sendLocked(l.from, answer)
		}
		return nil
	}
	before := p.peers[guest.Key]
	if before == nil || before.preshared != guest.Preshared {
		event := p.metLocked(*guest)
		p.peers[guest.Key].reached = true // it is the guest who begins, and not both at once
		if err := p.saveLocked(); err != nil {
			p.peers[guest.Key] = before
			if before == nil {
				delete(p.peers, guest.Key)
			}
			return p.unsavedLocked(err, "a machine waits to be paired until this can be saved: ")
		}
		events = append(events, event)
	}
	p.sendLocked(l.from, answer)
	return events
}
