package relay_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// sending returns how long the relay takes for bursts, each of which waits until the
// one before is done with.
func sending(from *relaytest.Peer, bursts int, burst []byte) time.Duration {
	began := time.Now()
	for range bursts {
		from.Send(burst)
	}
	return time.Since(began)
}

// Frames that bring no packet cost their sender its turn, siblings excepted.
func TestIdleFramesAreReadSlowly(t *testing.T) {
	for name, frame := range map[string][]byte{
		"empty":         derp.AppendHeader(nil, 0x99, 0),
		"unknown":       append(derp.AppendHeader(nil, 0x99, 3000), make([]byte, 3000)...),
		"pings":         derp.AppendPing(nil, [derp.PingLen]byte{}),
		"home":          derp.AppendNotePreferred(nil, true),
		"empty packets": derp.AppendSendPacket(nil, key.Public{9}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				flooder, alice, bob, sibling := r.Join("flooder"), r.Join("alice"), r.Join("bob"), r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true})
				burst := bytes.Repeat(frame, 1+4000/len(frame))
				if d := sending(flooder, 100, burst); d < time.Second || d > 25*time.Second {
					t.Errorf("100 bursts took %v, want a rest of up to 250 ms for most", d)
				}
				if n := r.Counters().Limited["nothing"]; n.Bursts < 30 || n.Bytes == 0 || n.MS < 1000 {
					t.Errorf("it is counted as %+v", n)
				}
				if d := sending(sibling, 100, burst); d != 0 {
					t.Errorf("a sibling was slowed down by %v", d)
				}
				if d := sending(alice, 1, derp.AppendSendPacket(nil, bob.Public(), []byte("hi"))); d != 0 {
					t.Errorf("others were slowed down by %v", d)
				}
				time.Sleep(5 * time.Second)
				if d := sending(flooder, 5, derp.AppendPing(nil, [derp.PingLen]byte{})); d != 0 {
					t.Errorf("who has stopped is still slowed down, by %v", d)
				}
			})
		})
	}
}

// Packets that come in pieces, with Pings and news of the home between them, are no flood.
func TestHonestPeerNeverRests(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		began := time.Now()
		for n := range 300 {
			stream := derp.AppendSendPacket(nil, bob.Public(), make([]byte, (n+1)*200))
			for len(stream) > 0 {
				piece := min(len(stream), 1400)
				alice.Send(stream[:piece])
				stream = stream[piece:]
			}
			synctest.Wait() // else bob's outbox overflows
			if n%30 == 0 {
				alice.Send(derp.AppendPing(nil, [derp.PingLen]byte{}), derp.AppendNotePreferred(nil, n%60 == 0))
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("it rested for %v", d)
		}
	})
}

// A frame in pieces of a byte costs its sender time, and is taken all the same.
func TestDribbledFrameIsReadSlowly(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		began := time.Now()
		for _, b := range derp.AppendSendPacket(nil, bob.Public(), make([]byte, 100)) {
			alice.Send([]byte{b})
		}
		bob.Expect("RecvPacket(src=alice,100 bytes)")
		if d := time.Since(began); d < 500*time.Millisecond || d > 30*time.Second {
			t.Errorf("137 pieces took %v", d)
		}
	})
}
