package netio_test

import (
	"net"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// A loop whose handlers keep it busy gets help; when they do not any more, one loop is
// enough again. Everything that is sent comes all the same.
func TestLoopsShareByLoad(t *testing.T) {
	loops, err := netio.NewLoops(2)
	if err != nil {
		t.Fatal(err)
	}
	defer loops.Close()
	if n := loops.Working(); n != 1 {
		t.Fatalf("%d loops work before there is anything to do", n)
	}
	const streams = 6
	slow := make(chan struct{}) // closed: handlers are fast from now on
	var peers []net.Conn
	var readers []<-chan error
	for range streams {
		near, far := loopback(t)
		stream, err := loops.TCP(near, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		peers = append(peers, far)
		next := byte(0)
		readers = append(readers, run(func() error {
			return stream.ReadBursts(func(burst []byte) (int, error) {
				for _, b := range burst {
					if b != next {
						t.Errorf("%d came, want %d", b, next)
					}
					next++
				}
				select {
				case <-slow:
				case <-time.After(5 * time.Millisecond):
				}
				return len(burst), nil
			})
		}))
	}
	sent := byte(0)
	send := func(until int) {
		for end := time.Now().Add(timeout); loops.Working() != until; sent++ {
			if time.Now().After(end) {
				t.Fatalf("%d loops work, want %d", loops.Working(), until)
			}
			for _, peer := range peers {
				if _, err := peer.Write([]byte{sent}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Millisecond)
		}
	}
	send(2)
	close(slow)
	send(1)
	for i, peer := range peers {
		peer.Close()
		wait(t, readers[i])
	}
}
