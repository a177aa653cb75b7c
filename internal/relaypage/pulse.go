package relaypage

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/relay"
)

const (
	beat  = 2 * time.Second
	beats = 301 // that are kept: ten minutes, and the one before
)

// A pulse is the traffic of the last ten minutes, in fixed memory.
type pulse struct {
	mu      sync.Mutex
	ring    [beats]moment // guarded by mu, as all below
	next    int
	reasons []string // of drops, in order
}

// A moment is what had been counted by then.
type moment struct {
	at       time.Time // zero: nothing is known
	in, out  relay.Traffic
	dropped  uint64   // packets
	byReason []uint64 // of these, in the order of pulse.reasons
	conns    int64
}

func (p *pulse) note(at time.Time, c *relay.Counters) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reasons == nil {
		p.reasons = slices.Sorted(maps.Keys(c.Dropped))
	}
	m := &p.ring[p.next]
	*m = moment{at: at, in: both(c.Received), out: both(c.Sent), conns: c.Conns, byReason: m.byReason[:0]}
	for _, reason := range p.reasons {
		n := both(c.Dropped[reason]).Packets
		m.dropped += n
		m.byReason = append(m.byReason, n)
	}
	p.next = (p.next + 1) % beats
}

func both(k relay.ByKind) relay.Traffic {
	return relay.Traffic{Packets: k.Disco.Packets + k.Other.Packets, Bytes: k.Disco.Bytes + k.Other.Bytes}
}

// lately is a pulse as rates: one for each beat, the last one last. NaN: nobody looked.
type lately struct {
	in, out, dropped []float64 // a second: bytes, bytes, packets
	conns            []float64

	// Of the last minute, or of as much of it as is known.
	minute time.Duration
	of     relay.Traffic // received
	lost   map[string]uint64
}

func (p *pulse) lately() lately {
	p.mu.Lock()
	defer p.mu.Unlock()
	var l lately
	for i := range beats - 1 {
		from, to := p.ring[(p.next+i)%beats], p.ring[(p.next+i+1)%beats]
		in, out, dropped, conns := math.NaN(), math.NaN(), math.NaN(), math.NaN()
		if !to.at.IsZero() {
			conns = float64(to.conns)
		}
		if seconds := to.at.Sub(from.at).Seconds(); !from.at.IsZero() && seconds > 0 {
			in, out = float64(to.in.Bytes-from.in.Bytes)/seconds, float64(to.out.Bytes-from.out.Bytes)/seconds
			dropped = float64(to.dropped-from.dropped) / seconds
		}
		l.in, l.out, l.dropped, l.conns = append(l.in, in), append(l.out, out), append(l.dropped, dropped), append(l.conns, conns)
	}
	p.minuteLocked(&l)
	return l
}

// minuteLocked sums the last minute up.
func (p *pulse) minuteLocked(l *lately) {
	last := p.ring[(p.next+beats-1)%beats]
	l.lost = make(map[string]uint64, len(p.reasons))
	for back := int(time.Minute / beat); back > 0; back-- {
		first := p.ring[(p.next+beats-1-back)%beats]
		if first.at.IsZero() || last.at.IsZero() {
			continue
		}
		l.minute = last.at.Sub(first.at)
		l.of = relay.Traffic{Packets: last.in.Packets - first.in.Packets, Bytes: last.in.Bytes - first.in.Bytes}
		for i, reason := range p.reasons {
			l.lost[reason] = last.byReason[i] - first.byReason[i]
		}
		return
	}
}

// last returns the last rate that is known; 0: none is.
func last(rates []float64) float64 {
	if n := len(rates); n > 0 && !math.IsNaN(rates[n-1]) {
		return rates[n-1]
	}
	return 0
}
