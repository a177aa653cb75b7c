package packetqueue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

func newSend() *Send {
	return NewSend(func() {}, DefaultAge, new(atomic.Uint64))
}

// slowQueue is what a Send does, obviously.
type slowQueue struct {
	packets []string
	since   []time.Duration
	bytes   int
	dropped uint64
}

func (q *slowQueue) push(packet string, now time.Duration) {
	for len(q.packets) > 0 && (q.bytes+len(packet) > maxBytes || len(q.packets) == MaxPackets) {
		q.dropFirst()
	}
	q.packets, q.since, q.bytes = append(q.packets, packet), append(q.since, now), q.bytes+len(packet)
}

func (q *slowQueue) dropFirst() {
	q.bytes -= len(q.packets[0])
	q.packets, q.since = q.packets[1:], q.since[1:]
	q.dropped++
}

func contents(b *Batch) (packets []string) {
	for _, p := range b.All() {
		packets = append(packets, string(p))
	}
	return packets
}

// Whatever is pushed, taken and left to grow old, the queue does what the obvious
// one does, and keeps within its memory.
func TestSendAgainstModel(t *testing.T) {
	for seed := range uint64(9) {
		random := rand.New(rand.NewPCG(seed, 0))
		q, model, now := newSend(), new(slowQueue), time.Duration(0)
		largest := []int{10, 2000, 60000}[seed%3]
		for step := range 3000 {
			switch random.IntN(400) {
			case 0:
				var b *Batch
				for range 2 { // one who takes may wait, and drop what has grown old meanwhile
					now += time.Duration(random.IntN(4)) * time.Second
					for len(model.since) > 0 && now-model.since[0] > DefaultAge {
						model.dropFirst()
					}
					if b == nil {
						b = q.Take(now)
						continue
					}
					left := q.DropOld(b, now)
					if len(model.since) == 0 && left != 0 || len(model.since) > 0 && left != max(model.since[0]+DefaultAge-now, 1) {
						t.Fatalf("seed %d, step %d: %v are left", seed, step, left)
					}
				}
				if got := contents(b); !slices.Equal(got, model.packets) || q.dropped.Load() != model.dropped {
					t.Fatalf("seed %d, step %d: %d packets and %d dropped, want %d and %d",
						seed, step, len(got), q.dropped.Load(), len(model.packets), model.dropped)
				}
				model.packets, model.since, model.bytes = nil, nil, 0
			case 1:
				q.Leave()
			default:
				packet := fmt.Sprintf("%d%s", step, strings.Repeat("x", random.IntN(largest)))
				now += time.Duration(random.IntN(10)) * time.Millisecond
				q.Push(key.Public{1}, []byte(packet), now)
				model.push(packet, now)
			}
			if c := cap(q.waiting.data); c > 6*maxBytes {
				t.Fatalf("%d bytes are held", c)
			}
		}
	}
}

// The taker begins when there is something and the queue is open, and leaves when
// there is nothing; then no memory is held.
func TestSendTaker(t *testing.T) {
	q, begun := newSend(), 0
	q.begin = func() { begun++ }
	push := func() bool { return q.Push(key.Public{}, make([]byte, 1000), 0) }
	push()
	push()
	if begun != 0 {
		t.Error("a taker before the queue is open")
	}
	q.Open()
	push()
	if begun != 1 || len(q.filled) != 1 {
		t.Errorf("%d takers begun", begun)
	}
	if q.Leave() {
		t.Error("the taker leaves what waits")
	}
	if got := len(contents(q.Take(0))); got != 3 {
		t.Errorf("%d packets", got)
	}
	if !q.Leave() || cap(q.waiting.data) > 0 || cap(q.spare.data) > 0 {
		t.Errorf("%d and %d bytes are held", cap(q.waiting.data), cap(q.spare.data))
	}
	push()
	if begun != 2 {
		t.Errorf("%d takers begun", begun)
	}
	q.Close()
	if push() || q.dropped.Load() != 1 {
		t.Error("a closed queue takes packets, or does not count what it drops")
	}
}
