package relay

import (
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
)

// held is a stream that hands out what it is flushed when the test says so.
type held struct {
	sink
	flushing chan struct{} // a flush has begun
	outcome  chan error    // what becomes of it
}

func (h *held) Flush(bool) (bool, error) {
	h.flushing <- struct{}{}
	err := <-h.outcome
	return err == nil, err
}

// A conn that leaves while somebody writes to it is told of when that is over, once and
// with what has become of the packets in hand.
func TestEndedTellsOfWhatWasInHand(t *testing.T) {
	for name, c := range map[string]struct {
		err           error
		sent, dropped uint64
	}{
		"written":    {nil, 1, 1},
		"not at all": {errors.New("cable cut"), 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var ended []PeerState
			s := newTestServer(t, Config{Ended: func(p PeerState) { ended = append(ended, p) }})
			alice, _ := join(s, numbered(1))
			stream := &held{flushing: make(chan struct{}), outcome: make(chan error)}
			bob := newConn(s, stream, &Origin{}, numbered(2), derp.ClientInfo{})
			s.routes.add(bob)
			hi := derp.AppendSendPacket(nil, bob.key, []byte("hi"))

			var writing sync.WaitGroup
			writing.Go(func() {
				if _, err := alice.ingest(hi); err != nil {
					t.Error(err)
				}
			})
			<-stream.flushing
			carol, _ := join(s, numbered(3))
			if _, err := carol.ingest(hi); err != nil { // waits behind what alice writes
				t.Fatal(err)
			}
			if err := bob.leave(io.EOF); err != io.EOF || len(ended) > 0 {
				t.Errorf("left with %v, told of %d", err, len(ended))
			}
			stream.outcome <- c.err
			writing.Wait()
			if len(ended) != 1 {
				t.Fatalf("told of %d conns", len(ended))
			}
			p := ended[0]
			if p.Peer != bob.key || p.ID != 2 || p.SentPackets != c.sent || p.Sent != 2*c.sent || p.Dropped != (Traffic{c.dropped, 2 * c.dropped}) || p.Queued != 0 || p.Active {
				t.Errorf("%+v", p)
			}
			if (p.Waited > 0) != (c.sent > 0) {
				t.Errorf("%d packets have waited for %v", p.SentPackets, p.Waited)
			}
		})
	}
}

// Whoever leaves while nobody writes is told of at once.
func TestEndedTellsAtOnce(t *testing.T) {
	ended := 0
	s := newTestServer(t, Config{Ended: func(PeerState) { ended++ }})
	bob, _ := join(s, numbered(2))
	bob.leave(io.EOF)
	if ended != 1 {
		t.Errorf("told of %d conns", ended)
	}
	if _, err := bob.ingest(derp.AppendSendPacket(nil, bob.key, nil)); err != nil || ended != 1 {
		t.Errorf("%v, told of %d conns", err, ended)
	}
}

// far is a stream whose other end is so far away.
type far struct {
	sink
	trip time.Duration
	asks int
}

func (f *far) RoundTrip() time.Duration { f.asks++; return f.trip }

// The round trip is asked for when a conn comes and when its KeepAlive is due, and is
// kept as long as the stream knows one.
func TestRoundTripIsAskedSeldom(t *testing.T) {
	s := newTestServer(t, Config{})
	stream := &far{trip: 30 * time.Millisecond}
	c := newConn(s, stream, &Origin{}, numbered(1), derp.ClientInfo{})
	c.begin(nil)
	if got := c.state().RoundTrip; got != 30*time.Millisecond {
		t.Errorf("%v at the login", got)
	}
	stream.trip = time.Duration(1<<63 - 1)
	for range inTicks(defaultKeepAlive + 10*time.Second) {
		s.everyTick()
	}
	if got := c.state().RoundTrip; got < time.Hour || stream.asks != 2 {
		t.Errorf("%v after %d questions", got, stream.asks)
	}
	h := s.Counters().RoundTrip
	if h.Counts[5] != 1 || h.Counts[len(h.Counts)-1] != 1 {
		t.Errorf("%+v", h)
	}
}
