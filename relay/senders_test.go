package relay

import (
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/derp"
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
		if set := v.senders.set; set.here.n != 0 || set.here.slots != nil {
			t.Fatalf("%d senders in %d slots are remembered", set.here.n, len(set.here.slots))
		}
	}
	if n := s.routes.subscribers.pairs.Load(); n != 0 {
		t.Errorf("%d pairs are counted", n)
	}
}

// As many senders as there are may stay: what is remembered of them has a bound
// for each conn, and the rest is not told.
func TestSendersOfAConnAreBounded(t *testing.T) {
	s := newTestServer(t, Config{})
	victim, _ := join(s, numbered(1))
	var senders []*conn
	for n := range 3 * maxSenders {
		senders = append(senders, sendOne(t, s, numbered(1000+n), victim))
	}
	if set := victim.senders.set; set.here.n != maxSenders || len(set.here.slots) > 2*maxSenders {
		t.Errorf("%d senders in %d slots", set.here.n, len(set.here.slots))
	}
	for _, c := range senders {
		leave(c)
	}
	if told := s.count.peerGone[derp.ReasonDisconnected].Load(); told != maxSenders {
		t.Errorf("%d PeerGone told, want %d", told, maxSenders)
	}
}

// The bound of all pairs leaves every conn its first few.
func TestSendersOfAllConnsAreBounded(t *testing.T) {
	s := newTestServer(t, Config{})
	s.routes.subscribers.pairs.Store(maxPairs)
	victim, _ := join(s, numbered(1))
	for n := range 3 * freeSenders {
		sendOne(t, s, numbered(1000+n), victim)
	}
	if n := victim.senders.set.here.n; n != freeSenders {
		t.Errorf("%d senders are remembered, want %d", n, freeSenders)
	}
}

// An audience keeps no conns alive that have ended, nor room for them.
func TestAudiencesForgetConnsThatEnd(t *testing.T) {
	s := newTestServer(t, Config{})
	src, _ := join(s, numbered(1))
	for n := range 20_000 {
		c, _ := join(s, numbered(1000+n))
		if _, err := src.ingest(derp.AppendSendPacket(nil, c.key, nil)); err != nil {
			t.Fatal(err)
		}
		leave(c)
	}
	if list := *src.route.audience.list; cap(list) > 16 || len(s.routes.subscribers.slots) > 2 {
		t.Errorf("room for %d conns that ended, %d numbers", cap(list), len(s.routes.subscribers.slots))
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
			if _, err := c.ingest(derp.AppendSendPacket(nil, dst, nil)); err != nil {
				t.Fatal(err)
			}
		}
		pairs := 0
		for _, c := range here {
			if c.senders.set != nil {
				pairs += c.senders.set.here.n
			}
		}
		if got := s.routes.subscribers.pairs.Load(); got != int64(pairs) {
			t.Fatalf("%d pairs are counted, want %d", got, pairs)
		}
	}
	for _, c := range here {
		leave(c)
	}
	if n := s.routes.subscribers.pairs.Load(); n != 0 {
		t.Errorf("%d pairs are left", n)
	}
	if problems := s.Check(); len(problems) > 0 {
		t.Error(problems)
	}
}
