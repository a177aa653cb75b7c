package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// pair is one sender and one receiver.
type pair struct {
	homes    [2]int // on which relays both are, as long as these live
	from, to *client.Region
	src, dst key.Public
	packet   [trafficSize]byte // owned by send
	back     [trafficSize]byte // owned by sendBack

	sent    atomic.Int64 // packets asked for, whether the client took them or not
	refused atomic.Int64 // of these, not taken by the client

	mu     sync.Mutex
	seen   []bool        // by number; guarded by mu
	got    int64         // distinct; guarded by mu
	twice  int64         // guarded by mu
	last   time.Time     // of the last arrival; guarded by mu
	gap    time.Duration // the longest between two arrivals since it was last asked for; guarded by mu
	broken error         // guarded by mu
}

const trafficSize = 1400

// begin sends until a packet has come through. What it sends has no number.
func (p *pair) begin(ctx context.Context) error {
	packet := make([]byte, trafficSize)
	binary.BigEndian.PutUint64(packet, ^uint64(0))
	late := time.After(startBudget)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		p.mu.Lock()
		begun := !p.last.IsZero()
		p.mu.Unlock()
		if begun {
			return nil
		}
		p.from.Send(p.dst, packet) // tried again
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("nothing came from relay %d to relay %d within %v", p.homes[0], p.homes[1], startBudget)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// send sends the next packet.
func (p *pair) send() {
	packet := p.packet[:]
	binary.BigEndian.PutUint64(packet, uint64(p.sent.Load()))
	if p.from.Send(p.dst, packet) != nil {
		p.refused.Add(1)
	}
	p.sent.Add(1)
}

// sendBack sends a packet the other way, so that the receiver is one who sends, too.
func (p *pair) sendBack() { p.to.Send(p.src, p.back[:]) }

// pace does something so many times per second, until it is over.
func pace(over <-chan struct{}, perS float64, do func()) {
	began, done := time.Now(), int64(0)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		for due := int64(time.Since(began).Seconds() * perS); done < due; done++ {
			do()
		}
	}
}

// take counts what arrives.
func (p *pair) take() {
	buf := make([]byte, derp.MaxPacket)
	for {
		m, err := p.to.Recv(buf)
		if err != nil {
			return
		}
		if m.Kind == client.MessagePacket {
			p.book(m.Packet, time.Now())
		}
	}
}

func (p *pair) book(packet []byte, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() {
		p.gap = max(p.gap, now.Sub(p.last))
	}
	p.last = now
	number := binary.BigEndian.Uint64(packet)
	switch {
	case number == ^uint64(0): // of begin
	case len(packet) != trafficSize || number >= uint64(p.sent.Load())+1:
		p.broken = errors.New("a packet came that was not sent")
	default:
		for uint64(len(p.seen)) <= number {
			p.seen = append(p.seen, false)
		}
		if p.seen[number] {
			p.twice++
			return
		}
		p.seen[number] = true
		p.got++
	}
}

// longestGap returns the longest time without an arrival since it was last asked, the one that lasts included.
func (p *pair) longestGap() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	gap := max(p.gap, time.Since(p.last))
	p.gap = 0
	return gap
}

func (p *pair) arrivedSince(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.After(t)
}
