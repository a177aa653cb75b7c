package wgproxy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/detour-relay/detour/key"
)

// look takes over what the device has now: key, mark, port and peers.
func (p *Proxy) look(found State, connect func(key.Private) (Relays, error)) error {
	if found.Key.IsZero() {
		return ErrNoKey
	}
	err := p.rekey(found, connect)
	if err != nil {
		return &finalError{err}
	}
	if found.Mark != p.now.Mark {
		if err = p.mark(found.Mark); err == nil {
			p.cfg.OnEvent(Event{Type: MarkChanged, Mark: found.Mark})
		}
	}
	if found.Port != p.now.Port {
		p.cfg.OnEvent(Event{Type: PortChanged, Port: found.Port})
		p.closeAll() // they are connected to the other one
	}
	port := found.Port
	found.Mark = p.now.Mark // as it was set, or not
	p.now = found
	if port == 0 {
		return errors.Join(err, errors.New("the device does not listen yet: is the interface up?"))
	}
	return errors.Join(err, p.meet(found))
}

// mark has the sockets of the Relays get a mark.
func (p *Proxy) mark(mark uint32) error {
	if err := p.cfg.SetMark(mark); err != nil {
		return fmt.Errorf("the mark of the interface, %#x, cannot be set on the connections to relays: %w", mark, err)
	}
	p.now.Mark = mark
	return nil
}

// rekey connects anew, as somebody else, when the device has another private key.
func (p *Proxy) rekey(found State, connect func(key.Private) (Relays, error)) error {
	if found.Key.Equal(p.now.Key) {
		return nil
	}
	p.disconnect()
	p.now.Key = found.Key
	p.cfg.OnEvent(Event{Type: KeyChanged, Key: found.Key.Public()})
	return p.connect(connect)
}

// meet has each peer have a stand-in, and as its endpoint.
func (p *Proxy) meet(found State) error {
	err := p.fit(found)
	wanted := make(map[key.Public]netip.AddrPort, len(p.standIns))
	for k, s := range p.standIns {
		wanted[k] = s.own
	}
	set, moves := p.ledger.plan(found.Peers, wanted)
	if len(set) > 0 {
		// In this order: whoever dies in between has noted what was.
		if failed := p.ledger.write(p.cfg.Note); failed != nil {
			return errors.Join(err, failed)
		}
		if failed := p.cfg.Device.SetEndpoints(set); failed != nil {
			return errors.Join(err, failed)
		}
	}
	p.tell(wanted, moves)
	return err
}

// tell tells who has come, who is gone, and whose endpoint was another one.
func (p *Proxy) tell(wanted map[key.Public]netip.AddrPort, moves []move) {
	for _, k := range slices.SortedFunc(maps.Keys(p.met), key.Public.Compare) {
		if _, stays := wanted[k]; !stays {
			delete(p.met, k)
			p.cfg.OnEvent(Event{Type: PeerGone, Peer: k})
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(wanted), key.Public.Compare) {
		if !p.met[k] {
			p.met[k] = true
			p.cfg.OnEvent(Event{Type: PeerAdded, Peer: k, Own: wanted[k], Endpoint: p.ledger[k].Before})
		}
	}
	for _, m := range moves {
		p.cfg.OnEvent(Event{Type: EndpointMoved, Peer: m.peer, Endpoint: m.to, Own: wanted[m.peer]})
	}
}

// fit makes the stand-ins that are missing, and closes those whose peers are gone: first
// the link does not find them any more.
func (p *Proxy) fit(found State) (err error) {
	next := maps.Clone(p.standIns)
	var gone []*standIn
	for k, s := range next {
		if _, there := found.Peers[k]; !there {
			delete(next, k)
			gone = append(gone, s)
		}
	}
	for k := range found.Peers {
		if next[k] != nil {
			continue
		}
		s, room, failed := newStandIn(k, found.Port, p.outward)
		if failed != nil {
			err = failed // no further one can be made, either
			break
		}
		p.noteRoom(room)
		next[k] = s
	}
	p.setStandIns(next)
	for _, s := range gone {
		s.close()
	}
	return err
}

// noteRoom tells once that the system allows small buffers only.
func (p *Proxy) noteRoom(room int) {
	if room < bufferSize && !p.small {
		p.small = true
		p.cfg.OnEvent(Event{Type: SmallBuffers, Count: room})
	}
}
