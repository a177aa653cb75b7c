package relay

import (
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/audience"
	"github.com/detour-relay/detour/key"
)

// sendOne has a peer that logs in send one packet to each of the conns given.
func sendOne(t *testing.T, s *Server, k key.Public, to ...*conn) *conn {
	t.Helper()
	from, _ := join(s, k)
	var p []byte
	for _, c := range to {
		p = derp.AppendSendPacket(p, c.key, nil)
	}
	if _, err := from.ingest(p); err != nil {
		t.Fatal(err)
	}
	return from
}

// Whom a conn has heard from is forgotten when they leave, whoever they were and
// however many, and new ones are told of all the same.
func TestSendersThatLeaveAreForgotten(t *testing.T) {
	s := newTestServer(t, Config{})
	var victims []*conn
	for n := range 20 {
		victim, _ := join(s, numbered(n))
		victims = append(victims, victim)
	}
	for n := range 9000 {
		leave(sendOne(t, s, numbered(1000+n), victims...))
	}
	if told, want := s.count.peerGone[derp.ReasonDisconnected].Load(), uint64(9000*len(victims)); told != want {
		t.Errorf("%d PeerGone told, want %d", told, want)
	}
	for _, v := range victims {
		if n := v.heard.Len(); n != 0 {
			t.Fatalf("%d senders are remembered", n)
		}
	}
	if n := s.routes.audience.Pairs(); n != 0 {
		t.Errorf("%d pairs are counted", n)
	}
}

// As many senders as there are may stay: what is remembered of them has a bound
// for each conn, and the rest is not told.
func TestSendersOfAConnAreBounded(t *testing.T) {
	s := newTestServer(t, Config{})
	victim, _ := join(s, numbered(1))
	var senders []*conn
	for n := range 3 * audience.MaxHeard {
		senders = append(senders, sendOne(t, s, numbered(1000+n), victim))
	}
	if n := victim.heard.Len(); n != audience.MaxHeard {
		t.Errorf("%d senders are remembered", n)
	}
	for _, c := range senders {
		leave(c)
	}
	if told := s.count.peerGone[derp.ReasonDisconnected].Load(); told != audience.MaxHeard {
		t.Errorf("%d PeerGone told, want %d", told, audience.MaxHeard)
	}
}

// Whoever comes, sends and leaves in whatever order: each receiver is told of a
// key at most once for each time it was here, and nothing is left in the end.
func TestSendersComeAndGo(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 7))
	s := newTestServer(t, Config{})
	here := map[int]*conn{}
	for range 20_000 {
		n := random.IntN(100)
		switch c := here[n]; {
		case c == nil:
			here[n], _ = join(s, numbered(n))
		case random.IntN(10) == 0:
			leave(c)
			delete(here, n)
		default:
			dst := numbered(random.IntN(100))
			if _, err := c.ingest(derp.AppendSendPacket(nil, dst, []byte("x"))); err != nil {
				t.Fatal(err)
			}
		}
		pairs := 0
		for _, c := range here {
			pairs += c.heard.Len()
		}
		if got := s.routes.audience.Pairs(); got != int64(pairs) {
			t.Fatalf("%d pairs are counted, want %d", got, pairs)
		}
	}
	for _, c := range here {
		leave(c)
	}
	if n := s.routes.audience.Pairs(); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
	if problems := s.Check(); len(problems) > 0 {
		t.Error(problems)
	}
}
