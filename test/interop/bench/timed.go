package main

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// timedPair is a sender with a rate and a receiver, who may hear from others, too. Packets begin with their number and, on this pair's,
// the time when they were sent.
type timedPair struct {
	from, to *rawPeer
	began    time.Time
	work     sync.WaitGroup
	next     atomic.Int64

	mu     sync.Mutex
	seen   map[key.Public]int64 // the next number that each sender may use; guarded by mu
	tookMS []float64            // of those from first on that have come; guarded by mu
	first  int64                // guarded by mu
	late   int64                // packets that came again, or after a later one; guarded by mu
}

const (
	// timedWindow is what the receiver's kernel keeps. More would hold packets longer that the relay has passed on already.
	timedWindow = 256 << 10
	timedLate   = 2 * time.Second // for the last ones
)

func startTimed(ctx context.Context, addr string) (*timedPair, error) {
	p := &timedPair{began: time.Now(), seen: map[key.Public]int64{}}
	var err error
	if p.to, err = (rawDial{addr: addr, buffer: 128 << 10, window: timedWindow}).login(ctx, key.NewPrivate()); err != nil {
		return nil, err
	}
	if p.from, err = dialRaw(ctx, addr, key.NewPrivate()); err != nil {
		p.to.end()
		return nil, err
	}
	p.work.Go(p.take)
	return p, nil
}

// take books what comes, until the connection ends.
func (p *timedPair) take() {
	const head = derp.HeaderLen + derp.KeyLen + 16
	for {
		b, err := p.to.in.Peek(derp.HeaderLen)
		if err != nil {
			return
		}
		t, n := derp.ParseHeader(b)
		if t == derp.FrameRecvPacket && derp.HeaderLen+n >= head {
			if b, err = p.to.in.Peek(head); err != nil {
				return
			}
			p.book(key.Public(b[derp.HeaderLen:][:derp.KeyLen]), b[derp.HeaderLen+derp.KeyLen:], n == derp.KeyLen+rawPacket)
		}
		if _, err := p.to.in.Discard(derp.HeaderLen + n); err != nil {
			return
		}
	}
}

func (p *timedPair) book(from key.Public, packet []byte, whole bool) {
	number, sent := int64(binary.BigEndian.Uint64(packet)), time.Duration(binary.BigEndian.Uint64(packet[8:]))
	p.mu.Lock()
	defer p.mu.Unlock()
	if number < p.seen[from] || !whole {
		p.late++
		return
	}
	p.seen[from] = number + 1
	if from == p.from.public && number >= p.first {
		p.tookMS = append(p.tookMS, float64((time.Since(p.began)-sent).Microseconds())/1e3)
	}
}

// send sends until it is over.
func (p *timedPair) send(over <-chan struct{}, bitsPerS float64) {
	packet, frame := make([]byte, rawPacket), []byte(nil)
	pace(over, bitsPerS/8/rawPacket, func() {
		binary.BigEndian.PutUint64(packet, uint64(p.next.Add(1)-1))
		binary.BigEndian.PutUint64(packet[8:], uint64(time.Since(p.began)))
		frame = derp.AppendSendPacket(frame[:0], p.to.public, packet)
		p.from.conn.Write(frame) // what does not go out does not come either
	})
}

// measure sends for a while, of which the beginning does not count, and tells what became of the packets.
func (p *timedPair) measure(ctx context.Context, bitsPerS float64, warmup, during time.Duration) (figures, error) {
	over := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() { p.send(over, bitsPerS) })
	err := pause(ctx, warmup)
	p.mu.Lock()
	p.first, p.tookMS = p.next.Load(), nil
	p.mu.Unlock()
	if err == nil {
		err = pause(ctx, during)
	}
	close(over)
	p.from.conn.SetWriteDeadline(time.Now().Add(timedLate))
	sending.Wait()
	if err != nil {
		return nil, err
	}
	p.awaitLast()
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.tookMS)
	sent, came := p.next.Load()-p.first, len(p.tookMS)
	f := figures{lostShare: 100 * (1 - float64(came)/float64(sent)), broken: float64(p.late)}
	if came > 0 {
		f[p50MS], f[p99MS] = *quantile(p.tookMS, 0.5), *quantile(p.tookMS, 0.99)
	}
	return f, nil
}

// awaitLast waits a while for the last packet.
func (p *timedPair) awaitLast() {
	for deadline := time.Now().Add(timedLate); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		all := p.seen[p.from.public] == p.next.Load()
		p.mu.Unlock()
		if all {
			return
		}
	}
}

func (p *timedPair) end() {
	p.from.end()
	p.to.end()
	p.work.Wait()
}

// pause waits for a while.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
