package relay

import (
	"testing"

	"github.com/detour-relay/detour/key"
)

// A round is a stream whose reader works through bursts of several conns.
type round struct {
	sharedStream
	after []interface{ RoundEnded(reader int) }
}

func (r *round) AfterRound(f interface{ RoundEnded(reader int) }) { r.after = append(r.after, f) }

func (r *round) end() {
	for _, f := range r.after {
		f.RoundEnded(1)
	}
	r.after = nil
}

// Packets of several sources that come in one round leave in one write at its end; those
// of one source leave at once.
func TestSourcesOfARoundShareAWrite(t *testing.T) {
	s := newTestServer(t, Config{})
	var senders []*conn
	for i := range 3 {
		c, _ := join(s, numbered(i))
		senders = append(senders, c)
	}
	to := numbered(10)
	receiver, sink := join(s, to)
	burst := burstTo([]key.Public{to}, 1, 100)
	r := new(round)
	send := func(c *conn) {
		t.Helper()
		if _, err := c.ingestIn(r, burst); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n <= 3; n++ {
		if send(senders[0]); sink.writes != n || len(r.after) > 0 {
			t.Fatalf("%d writes after %d packets of one source, and %d things to be done later", sink.writes, n, len(r.after))
		}
	}
	for n := 4; n <= 6; n++ {
		for range 2 {
			for _, c := range []*conn{senders[1], senders[2], senders[0]} {
				send(c)
			}
		}
		if sink.writes != n-1 || len(r.after) != 1 {
			t.Fatalf("%d writes before the end of round %d, and %d things to be done then", sink.writes, n, len(r.after))
		}
		if r.end(); sink.writes != n || receiver.out.queued() != 0 {
			t.Fatalf("%d writes and %d packets left after round %d", sink.writes, receiver.out.queued(), n)
		}
	}
	for range 400 {
		send(senders[1])
		r.end()
	}
	if send(senders[1]); len(r.after) > 0 || receiver.out.queued() != 0 {
		t.Errorf("%d packets wait although there has been one source for long", receiver.out.queued())
	}
	received := s.Counters()
	if received.Received != received.Sent {
		t.Errorf("received %+v, sent %+v", received.Received, received.Sent)
	}
}

// Who has left meanwhile is not written to.
func TestRoundEndsAfterTheReceiver(t *testing.T) {
	s := newTestServer(t, Config{})
	a, _ := join(s, numbered(1))
	b, _ := join(s, numbered(2))
	to := numbered(10)
	receiver, sink := join(s, to)
	r := new(round)
	for _, c := range []*conn{a, b, a} {
		if _, err := c.ingestIn(r, burstTo([]key.Public{to}, 1, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.after) != 1 {
		t.Fatalf("%d things to be done at the end", len(r.after))
	}
	leave(receiver)
	before := sink.writes
	r.end()
	if sink.writes != before {
		t.Error("what has left was written to")
	}
}
