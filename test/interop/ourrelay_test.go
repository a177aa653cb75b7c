package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"sync"
	"testing"
	"time"

	"tailscale.com/derp"
	"tailscale.com/types/key"

	"github.com/detour-relay/detour/test/interop/programs"
)

// way is one way of Tailscale's clients to reach our relay.
type way struct {
	name  string
	dial  theirDial
	relay *programs.Relay
}

// ways starts our relay with and without TLS and returns every way in.
func ways(t *testing.T) []way {
	secure := programs.StartDetour(t)
	plain := programs.StartPlainDetour(t)
	return []way{
		{"fast start", byRegion(tls.VersionTLS13), secure},
		{"classic, TLS 1.2", byRegion(tls.VersionTLS12), secure},
		{"by URL with a root", byURL, secure},
		{"WebSocket", byWebSocket, secure},
		{"plain HTTP", byURL, plain},
		{"plain WebSocket", byWebSocket, plain},
	}
}

// Every way in must carry packets of any size both ways, and pings.
func TestTheirClientThroughOurRelay(t *testing.T) {
	for _, way := range ways(t) {
		t.Run(way.name, func(t *testing.T) {
			a := newTheirPeer(t, way.relay, way.dial, "a", key.NewNode())
			b := newTheirPeer(t, way.relay, way.dial, "b", key.NewNode())
			exchange(t, a, b)
			exchange(t, b, a)
			exchange(t, a, a)
			a.ping(t)
			b.ping(t)
		})
	}
}

// One relay's peers reach each other whichever way each came in.
func TestTheirWaysMeet(t *testing.T) {
	var peers []*theirPeer
	relay := programs.StartDetour(t)
	for name, dial := range map[string]theirDial{
		"fast": byRegion(tls.VersionTLS13), "classic": byRegion(tls.VersionTLS12), "websocket": byWebSocket,
	} {
		peers = append(peers, newTheirPeer(t, relay, dial, name, key.NewNode()))
	}
	for _, from := range peers {
		for _, to := range peers {
			exchange(t, from, to)
		}
	}
}

func TestTheirClientLearnsWhoIsGone(t *testing.T) {
	relay := programs.StartDetour(t)
	dial := byRegion(tls.VersionTLS13)
	t.Run("not here", func(t *testing.T) {
		a := newTheirPeer(t, relay, dial, "a", key.NewNode())
		nobody := key.NewNode().Public()
		a.send(t, nobody, []byte("not a disco packet, so nobody tells"))
		a.wantNothing(t)
		a.send(t, nobody, disco("call me maybe"))
		a.want(t, derp.PeerGoneMessage{Peer: nobody, Reason: derp.PeerGoneReasonNotHere})
		// Three at once and one each second are told (the spec's 5.6), so no more than those of this loop's duration.
		for range 20 {
			a.send(t, nobody, disco("call me maybe"))
		}
		if err := a.SendPing([8]byte{1}); err != nil {
			t.Fatal(err)
		}
		told := 0
		for ; ; told++ {
			if m := a.next(t); m == (derp.PongMessage{1}) {
				break
			} else if m != (derp.PeerGoneMessage{Peer: nobody, Reason: derp.PeerGoneReasonNotHere}) {
				t.Fatalf("received %s among PeerGone messages", show(m))
			}
		}
		if told < 2 || told > 10 {
			t.Errorf("20 more disco packets to nobody were answered %d times, want 2 and perhaps one for each second", told)
		}
	})
	t.Run("disconnected", func(t *testing.T) {
		a := newTheirPeer(t, relay, dial, "a", key.NewNode())
		b := newTheirPeer(t, relay, dial, "b", key.NewNode())
		c := newTheirPeer(t, relay, dial, "c", key.NewNode())
		b.send(t, a.key, []byte("hello"))
		a.want(t, derp.ReceivedPacket{Source: b.key, Data: []byte("hello")})
		c.send(t, b.key, []byte("hello"))
		b.want(t, derp.ReceivedPacket{Source: c.key, Data: []byte("hello")})
		b.close()
		a.want(t, derp.PeerGoneMessage{Peer: b.key, Reason: derp.PeerGoneReasonDisconnected})
		c.wantNothing(t) // it sent to b, but never heard from b
	})
}

// Two conns of one key: the last that sent anything receives, both are told of the trouble, and told when it is over.
func TestTheirDuplicates(t *testing.T) {
	relay := programs.StartDetour(t)
	dial := byRegion(tls.VersionTLS13)
	twice := key.NewNode()
	sender := newTheirPeer(t, relay, dial, "sender", key.NewNode())
	first := newTheirPeer(t, relay, dial, "first", twice)
	second := newTheirPeer(t, relay, dial, "second", twice)
	for _, p := range []*theirPeer{first, second} {
		if m, ok := p.next(t).(derp.HealthMessage); !ok || m.Problem == "" {
			t.Fatalf("%s received %s, want a Health message that names the problem", p.name, show(m))
		}
	}
	receives := func(p *theirPeer, text string) {
		t.Helper()
		sender.send(t, twice.Public(), []byte(text))
		p.want(t, derp.ReceivedPacket{Source: sender.key, Data: []byte(text)})
	}
	receives(second, "the newest conn is active")
	first.ping(t)
	receives(first, "the last writer is active")
	second.send(t, sender.key, []byte("me again"))
	sender.want(t, derp.ReceivedPacket{Source: twice.Public(), Data: []byte("me again")})
	receives(second, "a packet counts as writing, too")
	second.close()
	first.want(t, derp.HealthMessage{})
	receives(first, "the one that is left is active")
	sender.wantNothing(t) // and nobody is gone
}

// Calling a relay home changes nothing that a peer could see; the conn must live through it.
func TestTheirNotePreferred(t *testing.T) {
	relay := programs.StartDetour(t)
	a := newTheirPeer(t, relay, byWebSocket, "a", key.NewNode())
	note := a.theirConn.(interface{ NotePreferred(bool) error })
	for _, home := range []bool{true, true, false, true} {
		if err := note.NotePreferred(home); err != nil {
			t.Fatal(err)
		}
		a.ping(t)
	}
	exchange(t, a, a)
}

// An operator's stop ends every conn and the program, whoever is connected.
func TestOurRelayStopsUnderTheirClients(t *testing.T) {
	relay := programs.StartDetour(t)
	peers := oneOfEach(t, relay)
	if status := relay.Stop(t); status != 0 {
		t.Errorf("the relay ended with status %d, want 0", status)
	}
	for _, p := range peers {
		p.wantEnd(t)
	}
}

// With time to drain, each of their clients is told to reconnect before its conn ends.
func TestOurRelayDrainsUnderTheirClients(t *testing.T) {
	const drain = time.Second
	relay := programs.StartDetour(t, "--drain", drain.String())
	peers := oneOfEach(t, relay)
	if status := relay.Stop(t); status != 0 {
		t.Errorf("the relay ended with status %d, want 0", status)
	}
	for _, p := range peers {
		m, ok := p.next(t).(derp.ServerRestartingMessage)
		if !ok || m.ReconnectIn < 0 || m.ReconnectIn > drain || m.TryFor <= 0 {
			t.Errorf("%s received %s, want that the relay restarts", p.name, show(m))
		}
		p.wantEnd(t)
	}
}

// oneOfEach logs in a peer by each way into a relay with TLS.
func oneOfEach(t *testing.T, relay *programs.Relay) (peers []*theirPeer) {
	for name, dial := range map[string]theirDial{
		"fast": byRegion(tls.VersionTLS13), "classic": byRegion(tls.VersionTLS12), "websocket": byWebSocket,
	} {
		peers = append(peers, newTheirPeer(t, relay, dial, name, key.NewNode()))
	}
	return peers
}

// wantEnd fails the test unless the conn ends now, with no other message than that the relay restarts.
func (p *theirPeer) wantEnd(t *testing.T) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case m, ok := <-p.got:
			if !ok {
				return
			}
			if _, restarting := m.(derp.ServerRestartingMessage); !restarting {
				t.Errorf("%s received %s from a relay that stopped", p.name, show(m))
			}
		case <-late:
			t.Errorf("%s has not noticed that the relay is gone", p.name)
			return
		}
	}
}

// Many peers log in at once and pass packets around a ring, each waiting for its own before the next, so that no queue has a
// reason to drop one.
func TestManyTheirClients(t *testing.T) {
	const count, laps = 60, 40
	relay := programs.StartDetour(t)
	dials := []theirDial{byRegion(tls.VersionTLS13), byRegion(tls.VersionTLS12), byWebSocket}
	peers := make([]*theirPeer, count)
	inParallel(t, count, func(t *testing.T, i int) {
		peers[i] = newTheirPeer(t, relay, dials[i%len(dials)], fmt.Sprint("peer ", i), key.NewNode())
	})
	inParallel(t, count, func(t *testing.T, i int) {
		next, previous := peers[(i+1)%count], peers[(i+count-1)%count]
		for lap := range laps {
			packet := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(lap)}, 700) }
			peers[i].send(t, next.key, packet(i))
			peers[i].want(t, derp.ReceivedPacket{Source: previous.key, Data: packet((i + count - 1) % count)})
		}
	})
}

// inParallel calls f once for each number below count, all at the same time, and waits for all. If one fails, the test ends.
func inParallel(t *testing.T, count int, f func(t *testing.T, i int)) {
	t.Helper()
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() { f(t, i) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
