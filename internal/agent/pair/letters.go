package pair

import (
	"bytes"
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
