package relay_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// scenarios plays the dialogues of the vectors.
var scenarios = map[string]func(*testing.T, relaytest.Scenario){
	"duplicate connections: last registered or last to write is active": playDuplicates,
	"mesh watcher stream":                                                                          playWatcher,
	"forwarded packets travel one hop":                                                             playOneHop,
	"mesh forwarder preference":                                                                    playForwarders,
	"PeerGone(disconnected) only when the whole region lost the key":                               playGoneFromRegion,
	"PeerGone(disconnected) at most once per receiving connection and source":                      playGoneOnce,
	"queue overflow (other): packet 0 is in flight, 1..40 arrive while the receiver does not read": playOverflowOther,
	"queue overflow (disco): packet 0 is in flight, 1..40 arrive while the receiver does not read": playOverflowDisco,
}

func TestScenarios(t *testing.T) {
	vectors := relaytest.LoadVectors(t)
	for name, play := range scenarios {
		t.Run(name, func(t *testing.T) { play(t, vectors.Scenario(t, name)) })
	}
}

// disco is a packet that counts as one of NAT traversal.
func disco(text string) []byte {
	packet := make([]byte, 62+len(text))
	copy(packet, "TS💬")
	copy(packet[62:], text)
	return packet
}

// step calls the action of a step, which must exist.
func step(t *testing.T, s relaytest.Step, actions map[string]func()) {
	t.Helper()
	act := actions[s.Do]
	if act == nil {
		t.Fatalf("no action for step %q", s.Do)
	}
	act()
	synctest.Wait()
}

// same compares what somebody received, in any order if it is a flood.
func same(t *testing.T, do, who string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: %s received %q, want %q", do, who, got, want)
	}
}

func withoutHealth(got []string) []string {
	return slices.DeleteFunc(got, func(f string) bool { return strings.HasPrefix(f, "Health(") })
}

func playDuplicates(t *testing.T, sc relaytest.Scenario) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sender := r.Join("sender")
		conns := map[string]*relaytest.Peer{}
		connect := func(name string) func() { return func() { conns[name] = r.Join("dup") } }
		hangUp := func(name string) func() { return func() { conns[name].Close() } }
		actions := map[string]func(){
			"x1 connects":                           connect("x1"),
			"x2 connects with the same key":         connect("x2"),
			"x3 connects with the same key":         connect("x3"),
			"x1 writes any frame (an ignored Pong)": func() { conns["x1"].Send(derp.AppendPong(nil, [8]byte{})) },
			"x2 writes any frame (NotePreferred)":   func() { conns["x2"].Send(derp.AppendNotePreferred(nil, true)) },
			"x1 disconnects":                        hangUp("x1"), "x2 disconnects": hangUp("x2"), "x3 disconnects": hangUp("x3"),
		}
		dup := r.Public("dup")
		for _, s := range sc.Steps {
			step(t, s, actions)
			if s.Received == nil {
				sender.SendPacket(dup, "other")
				same(t, s.Do, "sender", sender.Got(), s.AfterOther)
				sender.Send(derp.AppendSendPacket(nil, dup, disco("")))
				same(t, s.Do, "sender", sender.Got(), s.AfterDisco)
				continue
			}
			sender.SendPacket(dup, s.Do)
			for name, want := range s.Received {
				same(t, s.Do, name, withoutHealth(conns[name].Got()), want)
			}
		}
	})
}

func playWatcher(t *testing.T, sc relaytest.Scenario) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		early := r.Join("early")
		var watcher, a1, a2, sibling, self *relaytest.Peer
		watch := derp.AppendWatchConns(nil)
		actions := map[string]func(){
			"watcher logs in with the mesh key (no WatchConns yet)": func() {
				watcher = r.JoinAs(relaytest.Who{Name: "watcher", Mesh: true})
			},
			"watcher sends WatchConns while 'early' is connected": func() { watcher.Send(watch) },
			"a connects": func() { a1 = r.Join("a") },
			"a connects a second time with the same key": func() { a2 = r.Join("a") },
			"first connection of a closes":               func() { a1.Close() },
			"last connection of a closes":                func() { a2.Close() },
			"another mesh peer connects": func() {
				sibling = r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true})
			},
			"that mesh peer disconnects":     func() { sibling.Close() },
			"watcher sends ClosePeer(early)": func() { watcher.Send(derp.AppendClosePeer(nil, early.Public())) },
			"a client logs in with the server's own private key and the mesh key": func() {
				self = r.JoinAs(relaytest.Who{Name: "server", Mesh: true})
			},
			"that client sends WatchConns": func() { self.Send(watch) },
		}
		for _, s := range sc.Steps {
			step(t, s, actions)
			same(t, s.Do, "watcher", watcher.Got(), s.Watcher)
			same(t, s.Do, "early", early.Got(), s.Early)
			if self != nil {
				same(t, s.Do, "self", self.Got(), s.Self)
			}
		}
	})
}

func playOneHop(t *testing.T, sc relaytest.Scenario) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sibling := r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true})
		var dst *relaytest.Peer
		forward := func(packet []byte) {
			sibling.Send(derp.AppendForwardPacket(nil, r.Public("remote-src"), r.Public("dst"), packet))
		}
		actions := map[string]func(){
			// Who announces dst makes no difference, as nothing is forwarded.
			"mesh peer sends ForwardPacket(disco) for dst, which only forwarder A announces": func() { forward(disco("")) },
			"same with a non-disco payload": func() { forward([]byte("data")) },
			"dst connects locally, mesh peer forwards again": func() {
				dst = r.Join("dst")
				forward([]byte("data"))
			},
		}
		for _, s := range sc.Steps {
			step(t, s, actions)
			same(t, s.Do, "mesh peer", sibling.Got(), s.MeshPeer)
			if dst != nil {
				same(t, s.Do, "dst", dst.Got(), s.Dst)
			}
		}
	})
}

func playForwarders(t *testing.T, sc relaytest.Scenario) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sender := r.Join("sender")
		a, b, c := r.LinkedTo("A"), r.LinkedTo("B"), r.LinkedTo("C")
		var local *relaytest.Peer
		actions := map[string]func(){
			"nothing known":         func() {},
			"A announces dst":       func() { a.Announce("dst") },
			"A announces dst again": func() { a.Announce("dst") },
			"B and then C announce dst": func() {
				b.Announce("dst")
				synctest.Wait()
				c.Announce("dst")
			},
			"A withdraws dst": func() { a.Withdraw("dst") },
			"B withdraws dst": func() { b.Withdraw("dst") },
			"C withdraws dst": func() { c.Withdraw("dst") },
			"dst connects locally while A still announces it": func() { local = r.Join("dst") },
			"dst disconnects locally":                         func() { local.Close() },
			"B withdraws dst although it is not registered":   func() { b.Withdraw("dst") },
		}
		for _, s := range sc.Steps {
			step(t, s, actions)
			sender.Send(derp.AppendSendPacket(nil, r.Public("dst"), disco("")))
			same(t, s.Do, "sender", sender.Got(), s.Sender)
			via := "nobody"
			for name, ends := range map[string]*relaytest.Sibling{"forwarder A": a, "forwarder B": b, "forwarder C": c} {
				if len(ends.Got()) > 0 {
					via = name
				}
			}
			if local != nil && slices.ContainsFunc(local.Got(), func(f string) bool { return f != "EOF" }) {
				via = "local connection"
			}
			if via != s.Via {
				t.Errorf("%s: delivered via %s, want %s", s.Do, via, s.Via)
			}
			checked(t, r)
		}
	})
}

func playGoneFromRegion(t *testing.T, sc relaytest.Scenario) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		receiver := r.Join("receiver")
		a := r.LinkedTo("A")
		var src *relaytest.Peer
		actions := map[string]func(){
			"src is local, sends, and is also announced by forwarder A": func() {
				src = r.Join("src")
				src.SendPacket(receiver.Public(), "hi")
				a.Announce("src")
			},
			"src disconnects locally": func() { src.Close() },
			"A withdraws src":         func() { a.Withdraw("src") },
		}
		for _, s := range sc.Steps {
			step(t, s, actions)
			same(t, s.Do, "receiver", receiver.Got(), s.Receiver)
		}
	})
}

func playGoneOnce(t *testing.T, sc relaytest.Scenario) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		receiver := r.Join("receiver")
		var src *relaytest.Peer
		again := func() {
			src = r.Join("src")
			src.SendPacket(receiver.Public(), "hi")
		}
		actions := map[string]func(){
			"src connects (time 1) and sends": again,
			"src connects (time 2) and sends": again,
			"src disconnects":                 func() { src.Close() },
		}
		for _, s := range sc.Steps {
			step(t, s, actions)
			same(t, s.Do, "receiver", receiver.Got(), s.Receiver)
		}
	})
}

func playOverflowOther(t *testing.T, sc relaytest.Scenario) {
	playOverflow(t, sc, func(text string) []byte { return []byte(text) })
}

func playOverflowDisco(t *testing.T, sc relaytest.Scenario) {
	playOverflow(t, sc, disco)
}

// playOverflow has a relay whose outboxes hold 32 of the packets that make
// returns for texts of two bytes, as many as the reference's queues.
func playOverflow(t *testing.T, sc relaytest.Scenario, packet func(text string) []byte) {
	size := derp.HeaderLen + derp.KeyLen + len(packet("00"))
	inBubble(t, relay.Config{OutboxBytes: 32 * size}, func(t *testing.T, r *relaytest.Relay) {
		sender := r.Join("sender")
		receiver := r.JoinAs(relaytest.Who{Name: "receiver", Deaf: true})
		for n := range 41 {
			text := fmt.Sprintf("%02d", n)
			sender.Send(derp.AppendSendPacket(nil, receiver.Public(), packet(text)))
			synctest.Wait()
		}
		r.CheckSums()
		receiver.Listen()
		frames, _ := receiver.Frames()
		var got []int
		for _, f := range frames {
			n, err := strconv.Atoi(string(f.Payload[len(f.Payload)-2:]))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, n)
		}
		if want := sc.Steps[0].PacketsLeft; !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
	})
}
