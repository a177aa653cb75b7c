package relay_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

func ping(text string) []byte { return derp.AppendPing(nil, [8]byte([]byte(text))) }

func TestPing(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		p := r.Join("alice")
		for range 3 {
			p.Send(ping("ABCDEFGH"))
			p.Expect("Pong(4142434445464748)")
		}
		if s := r.Survey(); s.Pings != 3 || s.Pongs != 3 {
			t.Errorf("%d Pings, %d Pongs counted", s.Pings, s.Pongs)
		}
	})
}

// A peer that asks and does not listen has one answer waiting, not many.
func TestPongsDoNotPileUp(t *testing.T) {
	inBubble(t, relay.Config{WriteTimeout: -1}, func(t *testing.T, r *relaytest.Relay) {
		p := r.JoinAs(relaytest.Who{Name: "alice", Deaf: true})
		for range 100 {
			p.Send(ping("ABCDEFGH"))
			synctest.Wait()
		}
		p.Listen()
		p.Expect("Pong(4142434445464748)", "Pong(4142434445464748)") // one on its way, one waiting
		if s := r.Survey(); s.Pings != 100 || s.Pongs != 2 {
			t.Errorf("%d Pings, %d Pongs counted", s.Pings, s.Pongs)
		}
		p.Send(ping("HGFEDCBA"))
		p.Expect("Pong(4847464544434241)")
	})
}

func TestNotePreferred(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		home := func(p *relaytest.Peer, yes bool, homes int64, in, out uint64) {
			t.Helper()
			p.Send(derp.AppendNotePreferred(nil, yes))
			p.Expect()
			if s := r.Survey(); s.Homes != homes || s.HomeMovesIn != in || s.HomeMovesOut != out {
				t.Errorf("%d homes, %d moves in, %d out; want %d, %d, %d", s.Homes, s.HomeMovesIn, s.HomeMovesOut, homes, in, out)
			}
		}
		alice, bob := r.Join("alice"), r.Join("bob")
		home(alice, true, 1, 0, 0)
		home(bob, true, 2, 0, 0)
		home(bob, false, 1, 0, 0)
		home(bob, true, 2, 0, 0)
		time.Sleep(5*time.Second + 1)
		home(alice, true, 2, 0, 0) // no change
		home(alice, false, 1, 0, 1)
		home(alice, true, 2, 1, 1)
		alice.Close() // leaving is not moving
		alice.Ended()
		home(bob, true, 1, 1, 1)
	})
}

func TestClosePeerClosesEveryConnOfTheKey(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sibling := r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true})
		x1, x2, alice := r.Join("dup"), r.Join("dup"), r.Join("alice")
		sibling.Send(derp.AppendClosePeer(nil, x1.Public()))
		for _, x := range []*relaytest.Peer{x1, x2} {
			if err := x.Ended(); !errors.Is(err, relay.ErrClosePeer) {
				t.Errorf("ended with %v", err)
			}
		}
		if !alice.IsServed() || !sibling.IsServed() {
			t.Error("somebody else was closed")
		}
		sibling.Send(derp.AppendClosePeer(nil, sibling.Public()))
		if err := sibling.Ended(); !errors.Is(err, relay.ErrClosePeer) {
			t.Errorf("a sibling that closes itself ended with %v", err)
		}
	})
}

// A watcher sees a key that comes and goes in this order, with others between.
func TestWatcherSeesKeysInOrder(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		watcher := r.JoinAs(relaytest.Who{Name: "watcher", Mesh: true, Deaf: true})
		watcher.Send(derp.AppendWatchConns(nil))
		synctest.Wait()
		want := []string{"PeerPresent(watcher,flags=2)"}
		for n := range 30 {
			name := fmt.Sprint("peer ", n)
			p := r.Join(name)
			p.Close()
			p.Ended()
			want = append(want, fmt.Sprintf("PeerPresent(%s,flags=1)", name), fmt.Sprintf("PeerGone(%s,reason=0)", name))
		}
		if r.Survey().Watchers != 1 {
			t.Error("the watcher is not counted")
		}
		watcher.Listen()
		watcher.Expect(want...)
		watcher.Close()
		watcher.Ended()
		if r.Survey().Watchers != 0 {
			t.Error("the watcher is still counted")
		}
	})
}

// What watchers are told goes out without waiting for anything.
func TestWatcherIsToldAtOnce(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		watcher := r.JoinAs(relaytest.Who{Name: "watcher", Mesh: true})
		watcher.Send(derp.AppendWatchConns(nil))
		watcher.Got()
		start := time.Now()
		alice := r.Join("alice")
		watcher.Expect("PeerPresent(alice,flags=1)")
		alice.Close()
		watcher.Expect("PeerGone(alice,reason=0)")
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestForwardedPackets(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sibling := r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true})
		alice, far := r.Join("alice"), r.Public("far")
		big := noise(derp.MaxPacket)
		sibling.Send(derp.AppendForwardPacket(nil, far, alice.Public(), []byte("hi")))
		alice.Expect(`RecvPacket(src=far,"hi")`)
		sibling.Send(derp.AppendForwardPacket(nil, far, alice.Public(), big))
		expectPackets(t, alice, far, big)
		sibling.Send(derp.AppendForwardPacket(nil, far, r.Public("nobody"), []byte("hi")))
		sibling.Expect()
		s := r.Survey()
		if s.ForwardedIn != 3 || s.Received.Other.Packets != 3 || s.Dropped["unknown_dest_on_fwd"].Other.Packets != 1 {
			t.Errorf("counted %+v", s)
		}
		r.CheckSums()
	})
}
