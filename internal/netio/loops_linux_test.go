package netio_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/netio"
)

// descriptors is how many this process has.
func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// Peers come, send blocks in pieces, stall, and leave in every way; their handlers rest,
// and close streams; loops hand them over to each other all the time. Each stream brings what was sent, in order and up to its end, ends
// once, and leaves nothing behind, while its descriptor is another's already.
func TestLoopsAgainstAModel(t *testing.T) {
	before := descriptors(t)
	loops, err := netio.NewLoops(3)
	if err != nil {
		t.Fatal(err)
	}
	handing := handOver(loops)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for worker := range uint64(8) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(worker, 15))
			for range 60 {
				if err := modelOfOne(l, loops, random); err != nil {
					t.Errorf("worker %d: %v", worker, err)
					return
				}
			}
		})
	}
	all.Wait()
	l.Close()
	handing()
	loops.Close()
	for end := time.Now().Add(timeout); descriptors(t) > before; time.Sleep(time.Millisecond) { // of other tests, which have none, or of ours
		if time.Now().After(end) {
			t.Fatalf("%d descriptors, and %d before", descriptors(t), before)
		}
	}
}

// handOver has the loops that work change every millisecond, until the function is called
// that it returns.
func handOver(loops *netio.Loops) (end func()) {
	over := make(chan struct{})
	handing := run(func() error {
		for n := 0; ; n++ {
			loops.SetWorking(1 + n%3)
			select {
			case <-over:
				return nil
			case <-time.After(time.Millisecond):
			}
		}
	})
	return func() { close(over); <-handing }
}

// How a peer leaves, or is left.
const (
	hangUp     = iota // everything was sent
	resets            // with a reset, in the middle
	closedFrom        // the stream is closed, from elsewhere
	closedIn          // or by its handler
	ways
)

var errRests = errors.New("the handler rests")

// modelOfOne plays one peer.
func modelOfOne(l net.Listener, loops *netio.Loops, random *rand.Rand) error {
	peer, near, err := pairOf(l)
	if err != nil {
		return err
	}
	stream, err := loops.TCP(near, nil)
	if err != nil {
		return err
	}
	way, blocksOf := random.IntN(ways), 1+random.IntN(40)
	var sizes []int
	for range blocksOf {
		sizes = append(sizes, []int{0, 1, random.IntN(2000), random.IntN(60_000)}[random.IntN(4)])
	}
	sender := rand.New(rand.NewPCG(random.Uint64(), 0))
	sent := run(func() error {
		defer peer.Close()
		err := dribble(peer, blocks(sizes...), sender, 1+sender.IntN(30_000))
		switch way {
		case resets:
			peer.(*net.TCPConn).SetLinger(0)
		case closedFrom:
			stream.Close()
		}
		return err
	})
	next, ended := 0, 0
	for err = errRests; err == errRests; ended++ {
		err = stream.ReadBursts(func(burst []byte) (int, error) {
			used, err := unblock(burst, &next)
			switch {
			case err != nil:
			case random.IntN(20) == 0:
				err = errRests
			case way == closedIn && next > blocksOf/2:
				stream.Close()
			}
			return used, err
		})
	}
	stream.Close()
	<-sent
	switch {
	case way == hangUp && (err != io.EOF || next != blocksOf):
		return errors.Join(errors.New("not all came of a peer that hung up"), err)
	case way == resets && err != io.EOF && !errors.Is(err, syscall.ECONNRESET):
		return errors.Join(errors.New("the end of a peer that resets"), err)
	case way >= closedFrom && err != io.EOF && !errors.Is(err, net.ErrClosed):
		return errors.Join(errors.New("the end of a stream that is closed"), err)
	}
	return nil
}

// pairOf returns both ends of a new connection; others may dial at the same time.
var pairing sync.Mutex

func pairOf(l net.Listener) (far, near net.Conn, err error) {
	pairing.Lock()
	defer pairing.Unlock()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	near, err = l.Accept()
	return far, near, err
}

// Whoever is left when the loops end is closed with them; whoever comes then is refused.
func TestLoopsEnd(t *testing.T) {
	loops, err := netio.NewLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	near, far := loopback(t)
	stream, err := loops.TCP(near, nil)
	if err != nil {
		t.Fatal(err)
	}
	idle, _ := loopback(t)
	unread, err := loops.TCP(idle, nil)
	if err != nil {
		t.Fatal(err)
	}
	reading := run(func() error { return stream.ReadBursts(unused) })
	time.Sleep(10 * time.Millisecond) // it may read by then, or not: the end is the same
	loops.Close()
	if err := wait(t, reading); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading ended with %v", err)
	}
	hangsUp(t, far)
	isClosed(t, stream)
	isClosed(t, unread)
	late, _ := loopback(t)
	if _, err := loops.TCP(late, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a stream that comes later: %v", err)
	}
}

// The engine is told whose handler may not wait: the loop's, which reads others, too.
func TestStreamsOfLoopsAreShared(t *testing.T) {
	for _, k := range kinds {
		s, ok := k.dial(t, nil).stream.(interface{ Reader() int })
		if got, want := ok && s.Reader() > 0, strings.Contains(k.name, "looped"); got != want {
			t.Errorf("%s: read by a loop is %v, want %v", k.name, got, want)
		}
	}
}
