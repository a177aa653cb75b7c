package wgproxy

import (
	"errors"
	"sync"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

const (
	inBatch   = 128  // packets that are taken from the Relays at once
	usualSize = 2048 // bytes that usual packets fit into

	// piece is how many bytes are handed to the Relays at once, for which there is room
	// when they have any.
	piece = 64 << 10
)

// A link is the Relays while the device has one key.
type link struct {
	relays  Relays
	running sync.WaitGroup
}

// connect has the Relays of who has the device's key now.
func (p *Proxy) connect(connect func(key.Private) (Relays, error)) error {
	relays, err := connect(p.now.Key)
	if err != nil {
		return err
	}
	l := &link{relays: relays}
	p.link.Store(l)
	l.running.Go(func() { p.inward(relays) })
	return nil
}

func (p *Proxy) disconnect() {
	if l := p.link.Swap(nil); l != nil {
		l.relays.Close()
		l.running.Wait()
	}
}

var outgoing = sync.Pool{New: func() any { return new([]client.Packet) }}

// outward takes what the device sends to a peer, in pieces for which the Relays have room:
// meanwhile the rest waits in the buffer of the stand-in. What they do not take, they count.
func (p *Proxy) outward(peer key.Public, packets [][]byte) {
	l := p.link.Load()
	if l == nil {
		return
	}
	all := outgoing.Get().(*[]client.Packet)
	for i, size := 0, 0; i < len(packets); i++ {
		*all = append(*all, client.Packet{Peer: peer, Data: packets[i]})
		if size += len(packets[i]); size < piece && i < len(packets)-1 {
			continue
		}
		l.relays.AwaitRoom(peer)
		l.relays.SendBatch(*all)
		clear(*all)
		*all, size = (*all)[:0], 0
	}
	p.stats.out.Add(uint64(len(packets)))
	outgoing.Put(all)
}

// inward hands what comes from the Relays to the device, until they are closed.
func (p *Proxy) inward(relays Relays) {
	bufs, sizes, from := make([][]byte, inBatch), make([]int, inBatch), make([]key.Public, inBatch)
	for i := range bufs {
		bufs[i] = make([]byte, usualSize)
	}
	packets := make([][]byte, 0, inBatch)
	for {
		n, err := relays.ReadPackets(bufs, sizes, from)
		if errors.Is(err, client.ErrBufferSize) {
			bufs[0] = make([]byte, derp.MaxPacket) // and stays: there will be more of them
			continue
		}
		if err != nil {
			return
		}
		packets = packets[:0]
		for i := range n {
			packets = append(packets, bufs[i][:sizes[i]])
		}
		p.deliver(packets, from[:n])
	}
}

// deliver sends packets to the device, those of one peer that follow each other at once.
func (p *Proxy) deliver(packets [][]byte, from []key.Public) {
	lanes := *p.lanes.Load()
	for len(packets) > 0 {
		n := 1
		for n < len(packets) && from[n] == from[0] {
			n++
		}
		if s := lanes[from[0]]; s != nil {
			lost := s.send(packets[:n])
			p.stats.in.Add(uint64(n - lost))
			p.stats.undone.Add(uint64(lost))
		} else {
			p.stats.strangers.Add(uint64(n))
		}
		packets, from = packets[n:], from[n:]
	}
}
