package relay_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// expectProblem wants one Health frame with a text.
func expectProblem(t *testing.T, p *relaytest.Peer) {
	t.Helper()
	got := p.Got()
	if len(got) != 1 || !strings.HasPrefix(got[0], "Health(") || got[0] == `Health("")` {
		t.Errorf("got %q, want a problem", got)
	}
}

func dupGauges(t *testing.T, r *relaytest.Relay, keys, conns int64, total uint64) {
	t.Helper()
	if s := r.Survey(); s.DupKeys != keys || s.DupConns != conns || s.DupConnsTotal != total {
		t.Errorf("duplicates counted: %d keys, %d conns, %d ever; want %d, %d, %d",
			s.DupKeys, s.DupConns, s.DupConnsTotal, keys, conns, total)
	}
}

func TestDuplicatesAreToldByHealth(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		x1 := r.Join("dup")
		x1.Expect()
		dupGauges(t, r, 0, 0, 0)

		x2 := r.Join("dup")
		expectProblem(t, x1)
		expectProblem(t, x2)
		dupGauges(t, r, 1, 2, 1)

		x3 := r.Join("dup")
		x1.Expect()
		x2.Expect()
		expectProblem(t, x3)
		dupGauges(t, r, 1, 3, 2)

		x2.Close()
		x1.Expect()
		x3.Expect()
		dupGauges(t, r, 1, 2, 2)

		x3.Close()
		x1.Expect(`Health("")`)
		dupGauges(t, r, 0, 0, 2)

		x4 := r.Join("dup")
		expectProblem(t, x1)
		expectProblem(t, x4)
		x1.Close()
		x4.Expect(`Health("")`)
		if s := r.Survey(); s.Peers != 1 || s.Conns != 1 {
			t.Errorf("%d peers with %d conns left, want 1 and 1", s.Peers, s.Conns)
		}
	})
}

func TestInactiveDuplicatesAreAnswered(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, x1 := r.Join("alice"), r.Join("dup")
		alice.SendPacket(x1.Public(), "heard")
		x1.Expect(`RecvPacket(src=alice,"heard")`)
		x2 := r.Join("dup")
		x1.Got()
		x2.Got()
		alice.Close()
		x1.Expect("PeerGone(alice,reason=0)")
		x2.Expect()
		x1.Send(derp.AppendPing(nil, [8]byte([]byte("ABCDEFGH"))))
		x1.Expect("Pong(4142434445464748)")
	})
}

// It is the header of a frame that makes a conn active, not what follows.
func TestRestOfAFrameDoesNotActivate(t *testing.T) {
	for name, frame := range map[string][]byte{
		"packet":  derp.AppendSendPacket(nil, relaytest.Key("nobody").Public(), make([]byte, 100)),
		"unknown": append(derp.AppendHeader(nil, 0x99, 200), make([]byte, 200)...),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				alice, x1, x2 := r.Join("alice"), r.Join("dup"), r.Join("dup")
				probe := func(text string, active, other *relaytest.Peer) {
					t.Helper()
					synctest.Wait() // what was sent has been taken in
					alice.SendPacket(x1.Public(), text)
					same(t, text, "active", withoutHealth(active.Got()), []string{`RecvPacket(src=alice,"` + text + `")`})
					same(t, text, "other", withoutHealth(other.Got()), nil)
				}
				probe("x2 came last", x2, x1)
				x1.Send(frame[:3])
				probe("x1 sent half a header", x2, x1)
				x1.Send(frame[3:50])
				probe("x1 sent a header", x1, x2)
				x2.Send(derp.AppendPong(nil, [8]byte{}))
				probe("x2 sent a frame", x2, x1)
				x1.Send(frame[50:60])
				probe("x1 sent more of its frame", x2, x1)
				x1.Send(frame[60:])
				probe("x1 sent the rest", x2, x1)
				x1.Send(frame[:5])
				probe("x1 sent another header", x1, x2)
			})
		})
	}
}
