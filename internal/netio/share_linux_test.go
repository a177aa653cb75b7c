package netio_test

import (
	"net"
	"sync/atomic"
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

// A counter counts the rounds it was told of.
type counter struct {
	reader func() int
	told   atomic.Int64
	wrong  atomic.Int64 // by another than its reader
}

func (c *counter) RoundEnded(reader int) {
	c.told.Add(1)
	if reader != c.reader() {
		c.wrong.Add(1)
	}
}

// Whoever asks in a burst is told when the round has ended, once, by who reads.
func TestRoundsEnd(t *testing.T) {
	loops, err := netio.NewLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	defer loops.Close()
	near, far := loopback(t)
	stream, err := loops.TCP(near, nil)
	if err != nil {
		t.Fatal(err)
	}
	shared := stream.(interface {
		Reader() int
		AfterRound(interface{ RoundEnded(reader int) })
	})
	c := &counter{reader: shared.Reader}
	asked := int64(0)
	reading := run(func() error {
		return stream.ReadBursts(func(burst []byte) (int, error) {
			if c.told.Load() > asked {
				t.Errorf("told %d times, and asked %d", c.told.Load(), asked)
			}
			asked++
			shared.AfterRound(c)
			return len(burst), nil
		})
	})
	for range 50 {
		if _, err := far.Write([]byte("burst")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // bursts may come together or not: both are right
	}
	far.Close()
	wait(t, reading)
	for end := time.Now().Add(timeout); c.told.Load() < asked; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("told %d times, and asked %d", c.told.Load(), asked)
		}
	}
	if c.told.Load() != asked || c.wrong.Load() > 0 {
		t.Errorf("told %d times, %d of them by another reader, and asked %d", c.told.Load(), c.wrong.Load(), asked)
	}
}
