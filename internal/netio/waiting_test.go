//go:build !race

package netio_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// What a conn keeps while it waits within a frame follows the bytes it has sent:
// heap for each of them, over that of the same conn before. crypto/tls may keep
// up to two records of its own besides.
func TestWaitingConnKeepsWhatItWasSent(t *testing.T) {
	for _, k := range kinds {
		if !k.direct {
			continue // those go by the same buffer, which readbuf_test.go holds
		}
		for _, c := range []struct{ sent, most int }{
			{20, 4 << 10}, {900, 4 << 10}, {4200, 16 << 10}, {9000, 28 << 10}, {30_000, 56 << 10}, {65_000, 104 << 10},
		} {
			t.Run(fmt.Sprintf("%s, %d bytes", k.name, c.sent), func(t *testing.T) {
				if each := keptEach(t, k, c.sent); each > c.most {
					t.Errorf("%d bytes of heap for a rest of %d, want %d at most", each, c.sent, c.most)
				}
			})
		}
	}
}

// keptEach returns the heap that a conn keeps for an incomplete frame of size.
func keptEach(t *testing.T, k kind, size int) int {
	const conns = 40
	came, whole := make(chan error, conns), make(chan error, conns)
	links := make([]link, conns)
	for i := range links {
		links[i] = k.dial(t, nil)
		pieces := 0
		go links[i].stream.ReadBursts(func(burst []byte) (int, error) {
			switch {
			case len(burst) < size:
				return 0, nil
			case pieces == 0: // a frame that is whole first, so that what TLS grows has grown
				pieces++
				came <- nil
				return len(burst), nil
			}
			whole <- nil
			return 0, nil
		})
	}
	write := func(done chan error) {
		for _, l := range links {
			if _, err := l.peer.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		for range links {
			wait(t, done)
		}
	}
	write(came)
	before := settledHeap()
	write(whole)
	after := settledHeap()
	runtime.KeepAlive(links)
	return (after - before) / conns
}

// settledHeap returns the heap in use when pools are empty and readers wait.
func settledHeap() int {
	least := 0
	for range 5 {
		time.Sleep(20 * time.Millisecond)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if heap := int(m.HeapAlloc); least == 0 || heap < least {
			least = heap
		}
	}
	return least
}
