package packetqueue

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

// Who asks waits from half of what fits until the rest is taken, and no longer than
// packets are of use.
func TestWhoWaitsForRoom(t *testing.T) {
	q := NewSend(func() {}, time.Second, new(atomic.Uint64))
	crowded := func(now time.Duration, want time.Duration) <-chan struct{} {
		t.Helper()
		room, atMost := q.crowded(now)
		if atMost != want || (room != nil) != (want > 0) {
			t.Errorf("at %v: wait %v, want %v", now, atMost, want)
		}
		return room
	}
	push := func(n, size int, now time.Duration) {
		for range n {
			q.Push(key.Public{}, make([]byte, size), now)
		}
	}
	crowded(0, 0)
	push(1, maxBytes/2, 0)
	crowded(0, 0)
	push(1, 1, 100*time.Millisecond)
	push(1, 1, 500*time.Millisecond)
	crowded(0, 1100*time.Millisecond)
	room := crowded(time.Second, 100*time.Millisecond)
	crowded(1100*time.Millisecond, 0)
	q.Take(0)
	select {
	case <-room:
	default:
		t.Error("nobody tells that there is room")
	}
	crowded(0, 0)
	push(MaxPackets/2+1, 1, 2*time.Second)
	room = crowded(2*time.Second, time.Second)
	q.Close()
	<-room
	crowded(2*time.Second, 0)
}
