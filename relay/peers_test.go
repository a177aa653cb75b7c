package relay_test

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func TestPeersAreTold(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		addr := netip.MustParseAddrPort("192.0.2.7:41641")
		start := time.Now()
		alice := r.JoinAs(relaytest.Who{Name: "alice", Addr: addr, NotIdeal: true, AppName: "example"})
		bob := r.JoinAs(relaytest.Who{Name: "bob", Prober: true})
		r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true})
		time.Sleep(time.Minute)
		alice.Send(derp.AppendNotePreferred(nil, true))
		alice.SendPacket(bob.Public(), "12345")
		alice.SendPacket(r.Public("nobody"), "1")
		synctest.Wait()
		used := time.Now()
		time.Sleep(time.Minute)

		got := map[key.Public]relay.PeerState{}
		for p := range r.Peers {
			if !p.Since.Equal(start) {
				t.Errorf("%v is here since %v, want %v", p.Peer, p.Since, start)
			}
			p.Since = time.Time{}
			if p.Sibling != p.Used.Equal(start) || !p.Sibling && !p.Used.Equal(used) {
				t.Errorf("%v was used at %v", p.Peer, p.Used)
			}
			p.Used = time.Time{}
			got[p.Peer] = p
		}
		for _, want := range []relay.PeerState{
			{ID: 1, Peer: alice.Public(), Addr: addr, IdealNode: "ideal", AppName: "example", Home: true, Active: true, Version: derp.ProtocolVersion, Received: 6, ReceivedPackets: 2},
			{ID: 2, Peer: bob.Public(), Prober: true, Active: true, Version: derp.ProtocolVersion, Senders: 1, Sent: 5, SentPackets: 1},
			{ID: 3, Peer: relaytest.Key("sibling").Public(), Sibling: true, Active: true, Version: derp.ProtocolVersion},
		} {
			if got[want.Peer] != want {
				t.Errorf("got %+v, want %+v", got[want.Peer], want)
			}
		}
	})
}

func TestPeersShowWhatIsQueued(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice, deaf := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "deaf", Deaf: true})
		for range 10 {
			alice.SendPacket(deaf.Public(), "1234")
		}
		synctest.Wait()
		for p := range r.Peers {
			if p.Peer == deaf.Public() && p.Queued < 9 {
				t.Errorf("%d packets queued", p.Queued)
			}
		}
	})
}

func TestCloseClosesWhatMatches(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sorry := errors.New("quota")
		keep, x1, x2, y := r.Join("keep"), r.Join("dup"), r.Join("dup"), r.Join("y")
		isNot := func(who *relaytest.Peer) func(relay.PeerState) bool {
			return func(p relay.PeerState) bool { return p.Peer != who.Public() }
		}
		if n := r.Server.Close(func(relay.PeerState) bool { return false }, sorry, 0); n != 0 {
			t.Errorf("closed %d of none", n)
		}
		if n := r.Server.Close(isNot(keep), sorry, 2); n != 2 {
			t.Errorf("closed %d, want the 2 that are allowed", n)
		}
		if n := r.Server.Close(isNot(keep), sorry, 0); n != 1 {
			t.Errorf("closed %d, want the one that is left", n)
		}
		for _, p := range []*relaytest.Peer{x1, x2, y} {
			if err := p.Ended(); !errors.Is(err, sorry) {
				t.Errorf("ended with %v", err)
			}
		}
		if !keep.IsServed() {
			t.Error("a peer that does not match is closed")
		}
	})
}
