package relay_test

import (
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

func TestNotHereIsLimited(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob, nobody := r.Join("alice"), r.Join("bob"), r.Public("nobody")
		lost := 0
		ask := func(p *relaytest.Peer, times, answers int) {
			t.Helper()
			for range times {
				p.Send(derp.AppendSendPacket(nil, nobody, disco("")))
			}
			lost += times
			p.Expect(slices.Repeat([]string{"PeerGone(nobody,reason=1)"}, answers)...)
		}
		ask(alice, 10, 3)
		ask(bob, 1, 1) // each conn has a bucket of its own
		time.Sleep(time.Second - time.Nanosecond)
		ask(alice, 1, 0)
		time.Sleep(time.Nanosecond)
		ask(alice, 2, 1)
		time.Sleep(2 * time.Second)
		ask(alice, 5, 2)
		time.Sleep(20 * time.Second)
		ask(alice, 10, 3)
		s := r.Survey()
		if got := s.Dropped["unknown_dest"].Disco.Packets; got != uint64(lost) {
			t.Errorf("%d packets counted as dropped, want %d", got, lost)
		}
		if got := s.PeerGone[derp.ReasonNotHere.String()]; got != 10 {
			t.Errorf("%d PeerGone counted, want 10", got)
		}
	})
}

func TestNotHereIsForDiscoOnly(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, nobody := r.Join("alice"), r.Public("nobody")
		alice.Send(derp.AppendSendPacket(nil, nobody, disco("")[:61]))
		alice.SendPacket(nobody, "data")
		alice.Expect()
		if got := r.Survey().Dropped["unknown_dest"].Other.Packets; got != 2 {
			t.Errorf("%d packets counted as dropped, want 2", got)
		}
	})
}

// All misses that a sibling forwards share the bucket of its conn.
func TestNotHereGoesToTheForwarder(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sibling, src := r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true}), r.Join("src")
		for _, name := range []string{"a", "b", "c", "d"} {
			sibling.Send(derp.AppendForwardPacket(nil, src.Public(), r.Public(name), disco("")))
		}
		sibling.Expect("PeerGone(a,reason=1)", "PeerGone(b,reason=1)", "PeerGone(c,reason=1)")
		src.Expect()
	})
}

func TestGoneIsToldToReceiversOnly(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		src, receiver, sender, stranger := r.Join("src"), r.Join("receiver"), r.Join("sender"), r.Join("stranger")
		src.SendPacket(receiver.Public(), "hi")
		sender.SendPacket(src.Public(), "ho")
		receiver.Expect(`RecvPacket(src=src,"hi")`)
		src.Close()
		receiver.Expect("PeerGone(src,reason=0)")
		sender.Expect()
		stranger.Expect()
		if got := r.Survey().PeerGone[derp.ReasonDisconnected.String()]; got != 1 {
			t.Errorf("%d PeerGone counted, want 1", got)
		}
	})
}

// A key has gone when the last of its conns has.
func TestGoneWaitsForTheLastConn(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		x1, x2, receiver := r.Join("dup"), r.Join("dup"), r.Join("receiver")
		x1.SendPacket(receiver.Public(), "hi")
		receiver.Expect(`RecvPacket(src=dup,"hi")`)
		x1.Close()
		receiver.Expect()
		x2.Close()
		receiver.Expect("PeerGone(dup,reason=0)")
	})
}

// A packet that a sibling forwards may come before its word that the sender is there.
func TestGoneIsToldOfWhoIsAnnouncedLate(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sibling, link := r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true}), r.LinkedTo("sibling")
		receiver, stranger := r.Join("receiver"), r.Join("stranger")
		early := r.Public("early")
		sibling.Send(derp.AppendForwardPacket(nil, early, receiver.Public(), []byte("hi")))
		receiver.Expect(`RecvPacket(src=early,"hi")`)
		link.Announce("early", "other")
		checked(t, r)
		link.Withdraw("early", "other")
		receiver.Expect("PeerGone(early,reason=0)")
		stranger.Expect()
	})
}

// What one conn of a key was told is no matter of another, nor of a later one.
func TestGoneIsRememberedPerConn(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r1 := r.Join("receiver")
		visit := func(receiver *relaytest.Peer, told ...string) {
			t.Helper()
			src := r.Join("src")
			src.SendPacket(receiver.Public(), "hi")
			receiver.Expect(`RecvPacket(src=src,"hi")`)
			src.Close()
			src.Ended()
			receiver.Expect(told...)
		}
		visit(r1, "PeerGone(src,reason=0)")
		visit(r1)
		r1.Close()
		r1.Ended()
		r2 := r.Join("receiver")
		visit(r2, "PeerGone(src,reason=0)")
		visit(r2)
	})
}
