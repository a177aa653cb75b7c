package relay

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/key"
)

// reading is section 5.2 of the specification, word by word.
type reading struct {
	conns     []*conn
	last      *conn
	history   []*conn // of the active ones, without adjacent repetitions
	duplicate bool
	total     int // of conns that came to others
}

// "c becomes active"; the history "starts with the connection that existed
// before the first duplicate arrived; the second connection is appended only
// once it sends something, the third and later ones already at registration".
func (r *reading) register(c *conn) {
	r.conns = append(r.conns, c)
	r.last = c
	switch len(r.conns) {
	case 1:
		return
	case 2:
		r.duplicate = true
		r.history = []*conn{r.conns[0]}
	default:
		r.history = append(r.history, c)
	}
	r.total++
}

// "Any frame header read from a connection of a duplicate set makes that
// connection last and active"; "every change of the sending connection appends".
func (r *reading) sent(c *conn) {
	if !r.duplicate {
		return
	}
	r.last = c
	if n := len(r.history); n == 0 || r.history[n-1] != c {
		r.history = append(r.history, c)
	}
}

// "Removal of the active connection: the newest member of history that is still
// connected becomes active. If there is none, the key has no active connection".
// "If one remains it becomes a plain single connection and active".
func (r *reading) remove(c *conn) {
	r.conns = slices.DeleteFunc(r.conns, func(o *conn) bool { return o == c })
	if len(r.conns) == 1 {
		r.duplicate, r.history, r.last = false, nil, r.conns[0]
		return
	}
	if r.last != c {
		return
	}
	r.last = nil
	for _, h := range slices.Backward(r.history) {
		if slices.Contains(r.conns, h) {
			r.last = h
			return
		}
	}
}

func TestDuplicatesAgainstTheSpecification(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 4))
		s := newTestServer(t, Config{})
		want, k := new(reading), numbered(1)
		for range 200 {
			switch n := random.IntN(10); {
			case n < 3 && len(want.conns) < 6 || len(want.conns) == 0:
				c, _ := join(s, k)
				want.register(c)
			case n < 5:
				c := want.conns[random.IntN(len(want.conns))]
				leave(c)
				want.remove(c)
			default:
				c := want.conns[random.IntN(len(want.conns))]
				if _, err := c.ingest(derp.AppendPong(nil, [8]byte{})); err != nil {
					t.Fatal(err)
				}
				want.sent(c)
			}
			compare(t, s, k, want)
		}
	}
}

func compare(t *testing.T, s *Server, k key.Public, want *reading) {
	t.Helper()
	rt := s.routes.lookup(&k)
	if (rt == nil) != (len(want.conns) == 0) {
		t.Fatalf("route is %v with %d conns", rt, len(want.conns))
	}
	keys, conns := 0, 0
	if want.duplicate {
		keys, conns = 1, len(want.conns)
	}
	snap := s.Survey()
	if snap.DupKeys != int64(keys) || snap.DupConns != int64(conns) || snap.DupConnsTotal != uint64(want.total) {
		t.Fatalf("counted %d keys, %d conns, %d ever; want %d, %d, %d",
			snap.DupKeys, snap.DupConns, snap.DupConnsTotal, keys, conns, want.total)
	}
	if rt == nil {
		return
	}
	var active *conn
	if out := rt.active.Load(); out != nil {
		active = out.conn
	}
	if active != want.last {
		t.Fatalf("active is conn %d, want %d", slices.Index(want.conns, active), slices.Index(want.conns, want.last))
	}
	if !slices.Equal(rt.conns, want.conns) {
		t.Fatal("the route has other conns")
	}
	for _, c := range want.conns {
		if c.duplicate.Load() != want.duplicate {
			t.Fatalf("conn says duplicate: %v", c.duplicate.Load())
		}
	}
}

// A key with conns, none of which is active, loses its packets in silence. Only
// another policy would bring that about.
func TestNoConnIsActive(t *testing.T) {
	s := newTestServer(t, Config{})
	alice, answers := join(s, numbered(1))
	sibling, fromSibling := join(s, numbered(2))
	sibling.sibling = true
	x, delivered := join(s, numbered(3))
	join(s, numbered(3))
	disco := append([]byte("TS💬"), make([]byte, 56)...)
	before := delivered.bytes

	x.route.active.Store(nil)
	for c, frame := range map[*conn][]byte{
		alice:   derp.AppendSendPacket(nil, x.key, disco),
		sibling: derp.AppendForwardPacket(nil, alice.key, x.key, disco),
	} {
		if _, err := c.ingest(frame); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.count.book.Totals().Lost[ledger.DupClient][ledger.Disco].Packets; n != 2 {
		t.Errorf("%d packets counted as dropped, want 2", n)
	}
	if answers.bytes > 0 || fromSibling.bytes > 0 || delivered.bytes > before {
		t.Error("something was sent")
	}

	if _, err := x.ingest(derp.AppendPong(nil, [8]byte{})); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.ingest(derp.AppendSendPacket(nil, x.key, nil)); err != nil {
		t.Fatal(err)
	}
	if delivered.bytes == before {
		t.Error("the conn that sent something gets no packets")
	}
}
