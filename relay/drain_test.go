package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// drain begins to drain and returns what ends with it.
func drain(t *testing.T, r *relaytest.Relay, over time.Duration) (done chan error) {
	done = make(chan error, 1)
	var draining sync.WaitGroup
	draining.Go(func() { done <- r.Drain(context.Background(), over) })
	t.Cleanup(draining.Wait)
	synctest.Wait()
	return done
}

func restartings(frames []string) (n int) {
	for _, f := range frames {
		if strings.HasPrefix(f, "Restarting(") {
			n++
		}
	}
	return n
}

// Everybody is told, and closed one after the other; siblings stay.
func TestDrainSendsPeersAway(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		var peers []*relaytest.Peer
		for i := range 10 {
			peers = append(peers, r.Join(fmt.Sprint(i)))
		}
		watcher := r.JoinAs(relaytest.Who{Name: "w", Mesh: true})
		link := r.LinkedTo("a")
		done := drain(t, r, 10*time.Second)
		for i, p := range peers {
			if got := p.Got(); restartings(got) != 1 {
				t.Errorf("peer %d got %q", i, got)
			}
		}
		watcher.Expect("Restarting(in=0s,try=5s)")
		if err := r.Dial(relaytest.Who{Name: "late"}).Ended(); !errors.Is(err, relay.ErrShutdown) {
			t.Errorf("a new peer ended with %v", err)
		}
		served := func() (n int) {
			for _, p := range peers {
				if p.IsServed() {
					n++
				}
			}
			return n
		}
		time.Sleep(5*time.Second - time.Millisecond)
		if n := served(); n != 10 {
			t.Errorf("in the first half, %d peers are left", n)
		}
		before := 10
		for range 4 {
			time.Sleep(time.Second)
			if now := served(); now >= before || now == 0 {
				t.Errorf("of %d peers, %d are left a second later", before, now)
			} else {
				before = now
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if served() != 0 || !watcher.IsServed() || !link.IsServed() {
			t.Error("peers are left, or siblings are gone")
		}
		checked(t, r)
	})
}

// A relay without peers has nothing to wait for.
func TestDrainOfNobody(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r.JoinAs(relaytest.Who{Name: "w", Mesh: true})
		began := time.Now()
		if err := r.Drain(context.Background(), time.Hour); err != nil || time.Since(began) > 0 {
			t.Errorf("took %v (%v)", time.Since(began), err)
		}
	})
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r.Join("alice")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Drain(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended with %v", err)
		}
	})
}

// A peer that turns up at a sibling is withdrawn and reached there, but gets what
// was under way to its old conn.
func TestPeerThatMovesWhileItsRelayDrains(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		watcher := r.JoinAs(relaytest.Who{Name: "w", Mesh: true})
		watcher.Send(derp.AppendWatchConns(nil))
		a := r.LinkedTo("a")
		watcher.Got()
		drain(t, r, 10*time.Second)
		alice.Got()
		bob.Got()
		watcher.Got()

		alice.SendPacket(bob.Public(), "1")
		bob.Expect(`RecvPacket(src=alice,"1")`)
		a.Announce("bob")
		watcher.Expect()
		for range 2 {
			watcher.Send(derp.AppendForwardPacket(nil, r.Public("carol"), bob.Public(), []byte("3")))
			bob.Expect(`RecvPacket(src=carol,"3")`)
			alice.SendPacket(bob.Public(), "2")
			a.Expect(`ForwardPacket(src=alice,dst=bob,"2")`)
		}
		bob.SendPacket(alice.Public(), "4")
		alice.Expect(`RecvPacket(src=bob,"4")`)
		checked(t, r)
		time.Sleep(time.Second)
		watcher.Expect("PeerGone(bob,reason=0)")

		a.Withdraw("bob") // it has not stayed there
		watcher.Expect("PeerPresent(bob,flags=1)")
		alice.SendPacket(bob.Public(), "5")
		bob.Expect(`RecvPacket(src=alice,"5")`)
		a.Announce("bob")
		checked(t, r)
		bob.Close()
		watcher.Expect("PeerGone(bob,reason=0)")
		alice.SendPacket(bob.Public(), "6")
		a.Expect(`ForwardPacket(src=alice,dst=bob,"6")`)
		checked(t, r)
	})
}

// Who leaves a relay that drains is on his way to where all will be, even if he is there
// before siblings have said so.
func TestWhoLeavesADrainingRelayIsNotGone(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		a := r.LinkedTo("a")
		bob.SendPacket(alice.Public(), "1")
		drain(t, r, 10*time.Second)
		alice.Got()
		bob.Close()
		alice.Expect()
		a.Announce("bob")
		alice.SendPacket(bob.Public(), "2")
		a.Expect(`ForwardPacket(src=alice,dst=bob,"2")`)
		checked(t, r)
	})
}

// Of a key with several conns, one more move changes nothing.
func TestDuplicatesWhileTheirRelayDrains(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sender, one, two := r.Join("sender"), r.Join("dup"), r.Join("dup")
		a := r.LinkedTo("a")
		a.Announce("dup")
		drain(t, r, 10*time.Second)
		one.Send(derp.AppendPong(nil, [8]byte{}))
		sender.SendPacket(one.Public(), "1")
		a.Expect(`ForwardPacket(src=sender,dst=dup,"1")`)
		one.Close()
		sender.SendPacket(one.Public(), "2")
		a.Expect(`ForwardPacket(src=sender,dst=dup,"2")`)
		checked(t, r)
		a.Close()
		two.Got()
		sender.SendPacket(one.Public(), "3")
		two.Expect(`RecvPacket(src=sender,"3")`)
		checked(t, r)
	})
}

// In a takeover, peers of both processes reach each other, whichever has moved
// already, and so do those of a sibling.
func TestTakeover(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, old *relaytest.Relay) {
		next := relaytest.New(t, relay.Config{Key: relaytest.Key("server")})
		far := relaytest.New(t, relay.Config{Key: relaytest.Key("far")})
		relaytest.Mesh(old, far)
		synctest.Wait()
		alice, bob, carol := old.Join("alice"), old.Join("bob"), far.Join("carol")
		for _, r := range []*relaytest.Relay{old, next, far} {
			r.Public("alice")
			r.Public("bob")
			r.Public("carol")
		}
		relaytest.MeshTwins(old, next)
		synctest.Wait()
		done := drain(t, old, 10*time.Second)
		relaytest.Mesh(next, far) // which has heard that the old process restarts
		alice.Got()
		bob.Got()
		checked(t, old, next, far)

		reach := func(peers ...*relaytest.Peer) {
			t.Helper()
			for _, from := range peers {
				for _, to := range peers {
					from.SendPacket(to.Public(), "hi")
					if got := to.Got(); len(got) != 1 || !strings.HasPrefix(got[0], "RecvPacket(") {
						t.Errorf("%v to %v: got %q", from.Public().Short(), to.Public().Short(), got)
					}
				}
			}
			checked(t, old, next, far)
		}
		reach(alice, bob, carol)
		alice2 := next.Join("alice")
		synctest.Wait()
		alice.SendPacket(bob.Public(), "sent before the move")
		bob.Expect(`RecvPacket(src=alice,"sent before the move")`)
		reach(alice2, bob, carol)
		alice.Close()
		reach(alice2, bob, carol)
		bob2 := next.Join("bob")
		synctest.Wait() // clients keep the old conn for a while
		bob.Close()
		reach(alice2, bob2, carol)
		if err := <-done; err != nil {
			t.Error(err)
		}
		old.Shutdown(context.Background())
		reach(alice2, bob2, carol)
	})
}

// Only who comes as a twin is one: the key alone gives no rights.
func TestOurOwnKeyAloneIsNoTwin(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		self := r.Join("server")
		self.Send(derp.AppendWatchConns(nil))
		if err := self.Ended(); !errors.Is(err, relay.ErrNotPrivileged) {
			t.Errorf("ended with %v", err)
		}
	})
}
