package relay_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// FuzzIngest lets a peer that is logged in send any bytes, cut anywhere. The
// relay must neither panic nor lose count, and two other peers must not notice.
func FuzzIngest(f *testing.F) {
	v := relaytest.LoadVectors(f)
	for _, bad := range v.BadInput.AfterLogin {
		f.Add([]byte(bad.Frame), bad.Mesh, uint64(0))
	}
	var all []byte
	for n, frame := range v.Frames {
		f.Add([]byte(frame.Frame), n%2 == 0, uint64(n))
		all = append(all, frame.Frame...)
	}
	f.Add(all, true, uint64(1))
	alice, bob := relaytest.Key("alice").Public(), relaytest.Key("bob").Public()
	f.Add(slices.Concat(
		derp.AppendSendPacket(nil, alice, []byte("hi")), derp.AppendWatchConns(nil),
		derp.AppendForwardPacket(nil, alice, bob, disco("")), derp.AppendClosePeer(nil, relaytest.Key("fuzzer").Public()),
	), true, uint64(2))

	f.Fuzz(func(t *testing.T, input []byte, mesh bool, cuts uint64) {
		inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
			alice, bob := r.Join("alice"), r.Join("bob")
			fuzzer := r.JoinAs(relaytest.Who{Name: "fuzzer", Mesh: mesh})
			sendCut(fuzzer, input, rand.New(rand.NewPCG(cuts, 7)))
			fuzzer.Frames() // until nothing moves
			r.CheckSums()
			stillWorks(t, mesh, alice, bob)
			fuzzer.Close()
			fuzzer.Ended()
			stillWorks(t, mesh, bob, alice)
		})
	})
}

// sendCut sends the input in pieces of random length, as far as it is taken.
func sendCut(p *relaytest.Peer, input []byte, random *rand.Rand) {
	for len(input) > 0 {
		n := 1 + random.IntN(min(len(input), 1<<(1+random.IntN(12))))
		if _, err := p.Conn.Write(input[:n]); err != nil {
			return
		}
		input = input[n:]
	}
}

// stillWorks sends a packet from one peer to another. Only a sibling may have
// had one of them closed.
func stillWorks(t *testing.T, mesh bool, from, to *relaytest.Peer) {
	t.Helper()
	if mesh && (!from.IsServed() || !to.IsServed()) {
		return
	}
	to.Frames()
	from.SendPacket(to.Public(), "are you there?")
	got, _ := to.Frames()
	for _, f := range got {
		src, packet, err := derp.ParseRecvPacket(f.Payload)
		if f.Type == derp.FrameRecvPacket && err == nil && src == from.Public() && string(packet) == "are you there?" {
			return
		}
	}
	t.Errorf("a healthy peer got %d other frames, but not its packet", len(got))
}

// FuzzLink lets a sibling send any bytes, cut anywhere. Whatever it claims, the
// relay keeps its own peers and forgets the sibling's with the link.
func FuzzLink(f *testing.F) {
	v := relaytest.LoadVectors(f)
	var all []byte
	for n, frame := range v.Frames {
		f.Add([]byte(frame.Frame), uint64(n))
		all = append(all, frame.Frame...)
	}
	f.Add(all, uint64(1))
	present := func(name string) []byte {
		return derp.AppendPeerPresent(nil, derp.Presence{Key: relaytest.Key(name).Public()})
	}
	f.Add(slices.Concat(present("alice"), present("x"), derp.AppendRestarting(nil, 0, 0), present("x"),
		derp.AppendPeerGone(nil, relaytest.Key("alice").Public(), derp.ReasonNotHere)), uint64(2))

	f.Fuzz(func(t *testing.T, input []byte, cuts uint64) {
		inBubble(t, relay.Config{LinkPeers: 10}, func(t *testing.T, r *relaytest.Relay) {
			alice, bob := r.Join("alice"), r.Join("bob")
			fuzzer := r.LinkedTo("fuzzer")
			sendCut(fuzzer.Peer, input, rand.New(rand.NewPCG(cuts, 7)))
			fuzzer.Frames() // until nothing moves
			checked(t, r)
			stillWorks(t, false, alice, bob)
			fuzzer.Close()
			fuzzer.Ended()
			if snap := r.Survey(); snap.RemotePeers != 0 || len(snap.Links) != 0 {
				t.Errorf("%d peers and %d links are left", snap.RemotePeers, len(snap.Links))
			}
			checked(t, r)
			stillWorks(t, false, bob, alice)
		})
	})
}
