package relay

import (
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/internal/wheel"
)

// The wheel is turned by hand here: each conn gets its KeepAlive after 80 to 90
// ticks, whoever comes and goes meanwhile.
func TestKeepAliveWheel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 5))
	s := newTestServer(t, Config{})
	const keepAliveTicks = int(defaultKeepAlive / tick)
	type waiting struct {
		stream *sink
		since  int // ticks
		writes int
	}
	conns := map[*conn]*waiting{}
	beats := map[int]int{}
	for tick, next := 0, 0; tick < 2000; tick++ {
		for range random.IntN(3) {
			c, stream := join(s, numbered(next))
			next++
			s.wheel.Add(c)
			conns[c] = &waiting{stream: stream, since: tick, writes: stream.writes}
		}
		for c := range conns {
			if random.IntN(300) == 0 {
				s.wheel.Remove(c)
				s.wheel.Remove(c) // again has no effect
				leave(c)
				delete(conns, c)
			}
		}
		s.wheel.sendDue()
		for _, w := range conns {
			waited := tick + 1 - w.since
			switch got := w.stream.writes - w.writes; {
			case got == 1 && waited > keepAliveTicks && waited <= keepAliveTicks+keepAliveJitter:
				w.since, w.writes = tick+1, w.stream.writes
				beats[waited]++
			case got != 0 || waited > keepAliveTicks+keepAliveJitter:
				t.Fatalf("%d KeepAlives after %d ticks", got, waited)
			}
		}
	}
	if len(beats) != keepAliveJitter {
		t.Errorf("KeepAlives after these ticks: %v, want %d different", beats, keepAliveJitter)
	}
	if in := s.wheel.Len(); in != len(conns) {
		t.Errorf("%d conns in the wheel, want %d", in, len(conns))
	}
}

// A conn that ended may be taken out before it was put in.
func TestKeepAliveWheelWithoutTheConn(t *testing.T) {
	s := newTestServer(t, Config{})
	c, _ := join(s, numbered(1))
	s.wheel.Remove(c)
	for range 2 * wheel.Farthest {
		s.wheel.sendDue()
	}
	if n := s.count.keepAlives.Load(); n != 0 {
		t.Errorf("%d KeepAlives for nobody", n)
	}
}
