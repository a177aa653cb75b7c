package relay

import (
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
)

// Everything on a packet's way works while somebody holds the registration
// mutex: registering, announcing and closing peers stop no packet.
func TestPacketsPassTheRegistrationMutex(t *testing.T) {
	t.Run("no limits", func(t *testing.T) { testLocks(t, LimitRules{}) })
	t.Run("limits", func(t *testing.T) {
		testLocks(t, LimitRules{Keys: Limits{In: 1e9, Out: 1e9}, Total: 1e9})
	})
}

func testLocks(t *testing.T, rules LimitRules) {
	s := newTestServer(t, Config{})
	a, toA := join(s, numbered(1))
	b, toB := join(s, numbered(2))
	sibling, toSibling := join(s, numbered(3))
	sibling.sibling = true
	far := announcedBy(s, 1)[0]
	disco := append([]byte("TS💬"), make([]byte, 56)...)

	var toFar *sink
	moved, toMoved := join(s, numbered(6))
	for l := range s.routes.links {
		toFar = l.stream.(*sink)
		if err := s.routes.announced(l, moved.key); err != nil {
			t.Fatal(err)
		}
	}
	s.routes.drain()
	if !moved.route.retired {
		t.Fatal("a peer that a sibling has is not retired by draining")
	}

	s.SetLimits(rules)
	s.limiting.Lock()
	defer s.limiting.Unlock()
	s.routes.mu.Lock()
	defer s.routes.mu.Unlock()
	for _, step := range []struct {
		name  string
		from  *conn
		frame []byte
		to    *sink
	}{
		{"first packet of a pair", a, derp.AppendSendPacket(nil, b.key, []byte("1")), toB},
		{"second packet", a, derp.AppendSendPacket(nil, b.key, []byte("2")), toB},
		{"first packet back", b, derp.AppendSendPacket(nil, a.key, disco), toA},
		{"packet to oneself", a, derp.AppendSendPacket(nil, a.key, nil), toA},
		{"disco packet to nobody", a, derp.AppendSendPacket(nil, numbered(4), disco), toA},
		{"first packet to a sibling's peer", a, derp.AppendSendPacket(nil, far, nil), toFar},
		{"second packet to it", a, derp.AppendSendPacket(nil, far, nil), toFar},
		{"forwarded packet of a known peer", sibling, derp.AppendForwardPacket(nil, far, a.key, nil), toA},
		{"forwarded packet", sibling, derp.AppendForwardPacket(nil, numbered(5), a.key, nil), toA},
		{"forwarded packet to nobody", sibling, derp.AppendForwardPacket(nil, numbered(5), numbered(4), disco), toSibling},
		{"packet to a peer that has moved", a, derp.AppendSendPacket(nil, moved.key, nil), toFar},
		{"first forwarded packet to it", sibling, derp.AppendForwardPacket(nil, far, moved.key, nil), toMoved},
		{"second forwarded packet to it", sibling, derp.AppendForwardPacket(nil, far, moved.key, nil), toMoved},
		{"Ping", b, derp.AppendPing(nil, [8]byte{}), toB},
	} {
		before := step.to.bytes
		done := make(chan error)
		go func() {
			_, err := step.from.ingest(step.frame)
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil || step.to.bytes == before {
				t.Errorf("%s: nothing was written (%v)", step.name, err)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s waits for the registration mutex", step.name)
		}
	}
}
