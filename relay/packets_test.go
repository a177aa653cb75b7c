package relay_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// expectPackets wants exactly these packets from src to have arrived.
func expectPackets(t *testing.T, p *relaytest.Peer, src key.Public, want ...[]byte) {
	t.Helper()
	frames, _ := p.Frames()
	var got [][]byte
	for _, f := range frames {
		from, packet, err := derp.ParseRecvPacket(f.Payload)
		if f.Type != derp.FrameRecvPacket || err != nil || from != src {
			t.Fatalf("got %v from %v (%v)", f.Type, from, err)
		}
		got = append(got, packet)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %d packets, want %d, or other contents", len(got), len(want))
	}
}

func noise(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rand.Uint32())
	}
	return p
}

func TestPacketsOfAnySize(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		for _, size := range []int{0, 1, 61, 62, 1400, 4055, 16346, 16347, 16348, 32768, 65535, 65536} {
			packet := noise(size)
			alice.Send(derp.AppendSendPacket(nil, bob.Public(), packet))
			expectPackets(t, bob, alice.Public(), packet)
		}
		s := r.Survey()
		if s.Received.Other.Packets != 12 || s.Sent.Other != s.Received.Other {
			t.Errorf("counted in %+v, out %+v", s.Received, s.Sent)
		}
	})
}

func TestPacketToOneself(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice := r.Join("alice")
		alice.SendPacket(alice.Public(), "memo")
		alice.Expect(`RecvPacket(src=alice,"memo")`)
		alice.Close()
		alice.Ended()
	})
}

func TestPeersCannotChooseTheirSource(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		alice.Send(derp.AppendRecvPacket(nil, bob.Public(), []byte("forged")))
		alice.SendPacket(bob.Public(), "signed")
		bob.Expect(`RecvPacket(src=alice,"signed")`)
	})
}

// Bytes mean the same however they are cut.
func TestFramesCutAnywhere(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		dialogue := slices.Concat(
			derp.AppendSendPacket(nil, bob.Public(), []byte("one")),
			derp.AppendPing(nil, [8]byte([]byte("ABCDEFGH"))),
			derp.AppendSendPacket(nil, bob.Public(), nil),
			[]byte{0x99, 0, 0, 0, 2, 7, 7},
			derp.AppendNotePreferred(nil, true),
			derp.AppendSendPacket(nil, bob.Public(), []byte("two")),
		)
		check := func(how string) {
			t.Helper()
			got := bob.Got()
			if want := []string{`RecvPacket(src=alice,"one")`, `RecvPacket(src=alice,"")`, `RecvPacket(src=alice,"two")`}; !slices.Equal(got, want) {
				t.Fatalf("%s: bob got %q", how, got)
			}
			if got := alice.Got(); !slices.Equal(got, []string{"Pong(4142434445464748)"}) {
				t.Fatalf("%s: alice got %q", how, got)
			}
		}
		for cut := range len(dialogue) + 1 {
			alice.Send(dialogue[:cut])
			synctest.Wait()
			alice.Send(dialogue[cut:])
			check(fmt.Sprintf("cut at %d", cut))
		}
		for _, b := range dialogue {
			alice.Send([]byte{b})
			synctest.Wait()
		}
		check("byte by byte")
		if n := r.Survey().UnknownFrames; n != uint64(len(dialogue)+2) {
			t.Errorf("%d unknown frames counted, want %d", n, len(dialogue)+2)
		}
	})
}

func TestManyFramesAtOnce(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		var burst []byte
		var want [][]byte
		for n := range 5000 {
			packet := fmt.Appendf(nil, "packet %d", n)
			burst = derp.AppendSendPacket(burst, bob.Public(), packet)
			want = append(want, packet)
		}
		alice.Send(burst)
		expectPackets(t, bob, alice.Public(), want...)
	})
}

// A burst may touch more outboxes than its sender keeps in mind.
func TestBurstToManyPeers(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice := r.Join("alice")
		var peers []*relaytest.Peer
		var burst []byte
		for n := range 40 {
			peers = append(peers, r.Join(fmt.Sprint("peer ", n)))
		}
		for _, text := range []string{"one", "two"} {
			for _, p := range peers {
				burst = derp.AppendSendPacket(burst, p.Public(), []byte(text))
			}
		}
		alice.Send(burst)
		for _, p := range peers {
			p.Expect(`RecvPacket(src=alice,"one")`, `RecvPacket(src=alice,"two")`)
		}
	})
}

// Everybody sends to everybody; whatever arrives is complete and in order.
func TestOrderHolds(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1, OutboxBytes: 8 << 20}, func(t *testing.T, r *relaytest.Relay) {
		const peers, rounds = 8, 200
		var all []*relaytest.Peer
		for n := range peers {
			all = append(all, r.Join(fmt.Sprint("peer ", n)))
		}
		for _, p := range all {
			go func() {
				for n := range rounds {
					var burst []byte
					for _, q := range all {
						burst = derp.AppendSendPacket(burst, q.Public(), fmt.Appendf(nil, "%d", n))
					}
					p.Send(burst)
				}
			}()
		}
		for _, q := range all {
			frames, _ := q.Frames()
			next := map[key.Public]int{}
			for _, f := range frames {
				src, packet, err := derp.ParseRecvPacket(f.Payload)
				if err != nil || string(packet) != fmt.Sprint(next[src]) {
					t.Fatalf("packet %q (%v), want %d", packet, err, next[src])
				}
				next[src]++
			}
			if len(frames) != peers*rounds {
				t.Errorf("got %d packets, want %d", len(frames), peers*rounds)
			}
		}
	})
}

func TestKindsAreCountedApart(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		alice.Send(derp.AppendSendPacket(nil, bob.Public(), disco("12345678")), derp.AppendSendPacket(nil, bob.Public(), disco("")[:61]))
		bob.Got()
		want := relay.ByKind{Disco: relay.Traffic{Packets: 1, Bytes: 70}, Other: relay.Traffic{Packets: 1, Bytes: 61}}
		if s := r.Survey(); s.Received != want || s.Sent != want {
			t.Errorf("counted in %+v, out %+v, want %+v", s.Received, s.Sent, want)
		}
		r.CheckSums()
	})
}
