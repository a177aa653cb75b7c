package relaytest

import (
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNamesStandForTheKeysOfTheVectors(t *testing.T) {
	for _, k := range LoadVectors(t).Keys {
		if got := Key(k.Name).Public().Hex(); got != k.PublicHex {
			t.Errorf("key of %q is %s, want %s", k.Name, got, k.PublicHex)
		}
	}
}

func TestNotation(t *testing.T) {
	var n names
	alice := n.Public("alice")
	long := make([]byte, 65)
	for want, frame := range map[string][]byte{
		`RecvPacket(src=alice,"hi")`:      derp.AppendRecvPacket(nil, alice, []byte("hi")),
		`RecvPacket(src=alice,65 bytes)`:  derp.AppendRecvPacket(nil, alice, long),
		`PeerGone(alice,reason=1)`:        derp.AppendPeerGone(nil, alice, derp.ReasonNotHere),
		`PeerPresent(alice,flags=2)`:      derp.AppendPeerPresent(nil, derp.Presence{Key: alice, Flags: derp.PresenceMesh}),
		`Pong(4142434445464748)`:          derp.AppendPong(nil, [8]byte([]byte("ABCDEFGH"))),
		`Health("oh")`:                    derp.AppendHealth(nil, "oh"),
		`KeepAlive`:                       derp.AppendKeepAlive(nil),
		`Restarting(in=0s,try=0s)`:        derp.AppendRestarting(nil, 0, 0),
		`broken PeerGone: ` + lengthError: derp.AppendHeader(nil, derp.FramePeerGone, 0),
	} {
		kind, _ := derp.ParseHeader(frame)
		if got := n.text(Frame{Type: kind, Payload: frame[derp.HeaderLen:]}); got != want {
			t.Errorf("frame %x is %s, want %s", frame, got, want)
		}
	}
}

var lengthError = derp.ErrLength.Error()

func TestDialogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, relay.Config{})
		alice, bob := r.Join("alice"), r.Join("bob")
		alice.SendPacket(bob.Public(), "hi")
		bob.Expect(`RecvPacket(src=alice,"hi")`)
		alice.Expect()
		r.CheckSums()
		alice.Close()
		bob.Expect(`PeerGone(alice,reason=0)`)
		if alice.IsServed() || !bob.IsServed() {
			t.Error("served: want bob, not alice")
		}
	})
}

func TestSumsFindWhatIsMissing(t *testing.T) {
	in := relay.Traffic{Packets: 3, Bytes: 30}
	sound := relay.Survey{Counters: relay.Counters{
		BurstPackets: relay.Histogram{Sum: 3}, OutboxTime: relay.Histogram{Counts: []uint64{0, 1}}, FlushFrames: relay.Histogram{Sum: 1},

		Received: relay.ByKind{Other: in},
		Sent:     relay.ByKind{Other: relay.Traffic{Packets: 1, Bytes: 10}},
		Dropped:  map[string]relay.ByKind{"queue_head": {Other: relay.Traffic{Packets: 2, Bytes: 20}}},
	}}
	queued := sound
	queued.Received.Other, queued.Queued, queued.BurstPackets.Sum = relay.Traffic{Packets: 4, Bytes: 35}, 1, 4
	lost, swapped, many, bytes, bursts := sound, sound, sound, sound, sound
	bursts.BurstPackets.Sum = 2
	lost.Received.Other.Packets++
	swapped.Received.Disco, swapped.Received.Other = in, relay.Traffic{}
	many.Sent.Other.Packets++
	bytes.Sent.Other.Bytes--
	for name, c := range map[string]struct {
		snap relay.Survey
		bad  bool
	}{
		"sound": {sound, false}, "queued": {queued, false}, "lost": {lost, true},
		"of another kind": {swapped, true}, "too many": {many, true}, "bytes": {bytes, true}, "bursts": {bursts, true},
	} {
		if got := Sums(c.snap, c.snap.Queued); (len(got) > 0) != c.bad {
			t.Errorf("%s: problems %q", name, got)
		}
	}
	if len(Sums(queued, 0)) == 0 {
		t.Error("nothing waits, and nothing is missing")
	}
}

func TestAccountsFindWhatIsMissing(t *testing.T) {
	one := func(p, b uint64) relay.Traffic { return relay.Traffic{Packets: p, Bytes: b} }
	s := relay.Survey{Counters: relay.Counters{
		Received: relay.ByKind{Other: one(7, 70)}, Sent: relay.ByKind{Other: one(3, 30)},
		Dropped: map[string]relay.ByKind{"queue_head": {Other: one(2, 20)}, "unknown_dest": {Disco: one(2, 20)}},
	}}
	a := relay.PeerState{ReceivedPackets: 7, Received: 70, SentPackets: 1, Sent: 10, Waited: 5}
	b := relay.PeerState{SentPackets: 2, Sent: 20, Dropped: one(2, 20)}
	if got := Accounts(s, []relay.PeerState{a, b}); len(got) > 0 {
		t.Errorf("problems where there are none: %q", got)
	}
	for name, spoil := range map[string]func(a, b *relay.PeerState){
		"received": func(a, _ *relay.PeerState) { a.ReceivedPackets-- }, "received bytes": func(a, _ *relay.PeerState) { a.Received++ },
		"sent": func(_, b *relay.PeerState) { b.SentPackets-- }, "sent bytes": func(_, b *relay.PeerState) { b.Sent++ },
		"lost": func(_, b *relay.PeerState) { b.Dropped.Packets-- }, "more lost": func(_, b *relay.PeerState) { b.Dropped.Bytes++ },
		"waited": func(a, _ *relay.PeerState) { a.Waited = -1 },
	} {
		a, b := a, b
		spoil(&a, &b)
		if got := Accounts(s, []relay.PeerState{a, b}); len(got) != 1 {
			t.Errorf("%s: problems %q, want one", name, got)
		}
	}
}

func TestRemainsFindsGauges(t *testing.T) {
	done := relay.Survey{Counters: relay.Counters{Accepts: 2, Ended: map[string]uint64{"eof": 1, "shutdown": 1}}}
	if got := Remains(done); len(got) > 0 {
		t.Errorf("problems where there are none: %q", got)
	}
	done.Conns, done.Accepts = 1, 3
	if got := Remains(done); len(got) != 2 {
		t.Errorf("problems %q, want the gauge and the missing end", got)
	}
}
