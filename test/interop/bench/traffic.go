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

// traffic is pairs of our clients that are spread over a region and send numbered packets, each to the other end of its
// pair. A packet counts once, whenever it arrives: while a peer moves, packets may overtake each other or come twice.
type traffic struct {
	pairs   []*pair
	sending sync.WaitGroup
	taking  sync.WaitGroup
	over    chan struct{} // closed when no more is to be sent
}

// pair is one sender and one receiver.
type pair struct {
	homes    [2]int // on which relays both are, as long as these live
	from, to *client.Region
	dst      key.Public

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

// startTraffic logs count pairs in and has them send packetsPerS packets each. Pair i sends from relay i % n and
// receives at relay i / n % n, so that n * n pairs use every way there is.
func startTraffic(ctx context.Context, relays []*relay, count int, packetsPerS float64) (*traffic, error) {
	t := &traffic{over: make(chan struct{})}
	for i := range count {
		p := &pair{homes: homesOf(i, len(relays))}
		secret := key.NewPrivate()
		p.dst = secret.Public()
		t.pairs = append(t.pairs, p)
		var err error
		if p.to, err = regionPeer(relays, p.homes[1], secret); err == nil {
			p.from, err = regionPeer(relays, p.homes[0], key.NewPrivate())
		}
		if err != nil {
			t.end()
			return nil, err
		}
		t.taking.Go(p.take)
		t.taking.Go(func() { drain(p.from) })
	}
	for _, p := range t.pairs {
		if err := p.begin(ctx); err != nil {
			t.end()
			return nil, err
		}
	}
	for _, p := range t.pairs {
		t.sending.Go(func() { p.send(t.over, packetsPerS) })
	}
	return t, nil
}

// homesOf says at which of n relays the i-th pair sends and receives.
func homesOf(i, n int) [2]int { return [2]int{i % n, i / n % n} }

// regionPeer is a client whose first choice is the given relay and whose next ones follow it in a circle.
func regionPeer(relays []*relay, home int, secret key.Private) (*client.Region, error) {
	config := client.RegionConfig{}
	for i := range relays {
		at := (home + i) % len(relays)
		config.Nodes = append(config.Nodes, client.RegionNode{Name: fmt.Sprint("relay ", at), Config: client.Config{
			URL: relays[at].url, Key: secret, InsecureSkipVerify: true, RecordPerPacket: true,
		}})
	}
	return client.NewRegion(config)
}

func drain(r *client.Region) {
	buf := make([]byte, derp.MaxPacket)
	for {
		if _, err := r.Recv(buf); err != nil {
			return
		}
	}
}

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

func (p *pair) send(over <-chan struct{}, packetsPerS float64) {
	packet := make([]byte, trafficSize)
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		for due := int64(time.Since(began).Seconds() * packetsPerS); p.sent.Load() < due; {
			binary.BigEndian.PutUint64(packet, uint64(p.sent.Load()))
			if p.from.Send(p.dst, packet) != nil {
				p.refused.Add(1)
			}
			p.sent.Add(1)
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

// stop ends the sending and waits a while for what is under way.
func (t *traffic) stop(patience time.Duration) {
	close(t.over)
	t.sending.Wait()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && t.lost() > 0; time.Sleep(10 * time.Millisecond) {
	}
}

func (t *traffic) lost() (n int64) {
	for _, p := range t.pairs {
		p.mu.Lock()
		n += p.sent.Load() - p.got
		p.mu.Unlock()
	}
	return n
}

// end closes all clients.
func (t *traffic) end() {
	for _, p := range t.pairs {
		for _, r := range []*client.Region{p.from, p.to} {
			if r != nil {
				r.Close()
			}
		}
	}
	t.taking.Wait()
}
