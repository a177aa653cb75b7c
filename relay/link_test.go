package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// checked fails the test if the relay contradicts itself.
func checked(t *testing.T, relays ...*relaytest.Relay) {
	t.Helper()
	synctest.Wait()
	for _, r := range relays {
		for _, problem := range r.Check() {
			t.Errorf("Check: %s", problem)
		}
		r.CheckSums()
	}
}

// The login is that of a sibling (spec 6.1, 6.8).
func TestLinkLogsIn(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		a := r.LinkedTo("a")
		if want := (derp.ClientInfo{MeshKey: relaytest.MeshKey(), Version: derp.ProtocolVersion}); a.Info != want {
			t.Errorf("the relay says %+v, want %+v", a.Info, want)
		}
		checked(t, r)
		links := r.Survey().Links
		if len(links) != 1 || links[0].Name != "a" || links[0].Key != a.Public() {
			t.Errorf("links are %+v", links)
		}
	})
}

// A link is up when the sibling tells of its peers: until then it may think that we are
// none.
func TestLinkIsUpWhenItsSiblingTellsOfPeers(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		a := r.Link("a")
		a.Greet()
		a.Admit()
		synctest.Wait()
		if links := r.Survey().Links; len(links) != 0 {
			t.Errorf("links are %+v before the sibling has told of anybody", links)
		}
		checked(t, r)
		a.Announce("server")
		if links := r.Survey().Links; len(links) != 1 || links[0].Name != "a" {
			t.Errorf("links are %+v", links)
		}
	})
}

func TestForwardersAreForgottenWithTheirLink(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		a, b := r.LinkedTo("a"), r.LinkedTo("b")
		names := []string{"both"}
		for i := range 1000 { // more than are forgotten at once
			names = append(names, string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10)))
		}
		a.Announce(names...)
		b.Announce("both")
		checked(t, r)
		if n := r.Survey().RemotePeers; n != 1001 {
			t.Errorf("%d remote peers", n)
		}
		a.Close()
		if err := a.Ended(); !errors.Is(err, io.EOF) {
			t.Errorf("link ended with %v", err)
		}
		checked(t, r)
		if n := r.Survey().RemotePeers; n != 1 {
			t.Errorf("%d remote peers are left", n)
		}
		sender := r.Join("sender")
		sender.SendPacket(r.Public("both"), "hi")
		b.Expect(`ForwardPacket(src=sender,dst=both,"hi")`)
		checked(t, r)
	})
}

// linkEnds provokes the end of a link for each reason that only links have, and
// for those that matter to whoever dials.
var linkEnds = map[string]struct {
	cfg     relay.Config
	want    error
	provoke func(r *relaytest.Relay) *relaytest.Sibling
}{
	"self": {want: relay.ErrSelf, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		s := r.Link("server")
		s.Send(derp.AppendServerKey(nil, r.PublicKey()))
		return s
	}},
	"linked": {want: relay.ErrLinked, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		r.LinkedTo("a")
		s := r.Link("a")
		s.Send(derp.AppendServerKey(nil, s.Public()))
		return s
	}},
	"not_sibling": {want: relay.ErrNotSibling, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		s := r.Link("a")
		s.Greet()
		s.Admit()
		s.Close()
		return s
	}},
	"silent": {want: relay.ErrSilent, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		s := r.LinkedTo("a")
		s.Mute()
		return s
	}},
	"too_many_peers": {want: relay.ErrTooManyPeers, cfg: relay.Config{LinkPeers: 2}, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		s := r.LinkedTo("a")
		s.Announce("1", "2", "2", "1", "3")
		return s
	}},
	"eof": {want: io.EOF, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		s := r.LinkedTo("a")
		s.Close()
		return s
	}},
	"login_timeout": {want: relay.ErrLoginTimeout, provoke: func(r *relaytest.Relay) *relaytest.Sibling { return r.Link("a") }},
	"bad_login": {want: relay.ErrBadLogin, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		s := r.Link("a")
		s.Send([]byte("HTTP/1.1 200 OK\r\n"))
		return s
	}},
	"bad_frame": {want: relay.ErrBadFrame, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		s := r.LinkedTo("a")
		s.Send(derp.AppendHeader(nil, derp.FramePeerPresent, 100_000))
		return s
	}},
	"shutdown": {want: relay.ErrShutdown, provoke: func(r *relaytest.Relay) *relaytest.Sibling {
		s := r.LinkedTo("a")
		r.Shutdown(context.Background())
		return s
	}},
}

func TestEveryEndOfALinkIsCounted(t *testing.T) {
	for reason, c := range linkEnds {
		t.Run(reason, func(t *testing.T) {
			inBubble(t, c.cfg, func(t *testing.T, r *relaytest.Relay) {
				s := c.provoke(r)
				if err := s.Ended(); !errors.Is(err, c.want) {
					t.Errorf("ended with %v", err)
				}
				if n := r.Survey().LinksEnded[reason]; n != 1 {
					t.Errorf("counted %d times: %v", n, r.Survey().LinksEnded)
				}
				checked(t, r)
			})
		})
	}
}

func TestLinkNeedsAMeshKey(t *testing.T) {
	inBubble(t, relay.Config{MeshKeys: []key.Mesh{}}, func(t *testing.T, r *relaytest.Relay) {
		if err := r.Link("a").Ended(); !errors.Is(err, relay.ErrNoMeshKey) {
			t.Errorf("ended with %v", err)
		}
	})
}

// What a link need not know is passed over: other frames, of any length, and
// those that are longer than today's.
func TestLinkSkipsWhatItDoesNotKnow(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		s := r.LinkedTo("a")
		unknown := append(derp.AppendHeader(nil, 0x99, 300_000), make([]byte, 300_000)...)
		longer := append(derp.AppendHeader(nil, derp.FramePeerPresent, 200), make([]byte, 200)...)
		x := r.Public("x")
		copy(longer[derp.HeaderLen:], x[:])
		s.Send(unknown, derp.AppendKeepAlive(nil), derp.AppendHealth(nil, "ill"),
			derp.AppendRecvPacket(nil, x, []byte("to the relay itself")), longer)
		synctest.Wait()
		r.Join("sender").SendPacket(x, "hi")
		s.Expect(`ForwardPacket(src=sender,dst=x,"hi")`)
	})
}

// A sibling that claims what is ours gains nothing, and harms only itself.
func TestLyingSibling(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		liar := r.LinkedTo("liar")
		liar.Announce("alice", "server", "liar", "alice")
		liar.Send(derp.AppendPeerPresent(nil, derp.Presence{})) // the key of nobody
		liar.Withdraw("bob", "nobody")
		bob.SendPacket(alice.Public(), "hi")
		alice.Expect(`RecvPacket(src=bob,"hi")`)
		bob.SendPacket(r.PublicKey(), "to the relay")
		liar.Expect()
		checked(t, r)
		liar.Withdraw("alice")
		bob.SendPacket(alice.Public(), "hi")
		alice.Expect(`RecvPacket(src=bob,"hi")`)
		checked(t, r)
	})
}

// A sibling that takes nothing fills its own outbox, and delays nobody.
func TestSiblingThatReadsNothing(t *testing.T) {
	cfg := relay.Config{LinkOutboxBytes: 100_000, OutboxAge: -1}
	inBubble(t, cfg, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		s := r.Link("a")
		s.Greet()
		box := s.Key.Box(r.PublicKey())
		s.Send(derp.AppendServerInfo(nil, &box, derp.ServerInfo{}))
		s.Announce("server", "far")
		for range 200 {
			alice.SendPacket(r.Public("far"), string(make([]byte, 1400)))
			alice.SendPacket(bob.Public(), "hi")
		}
		if got := bob.Got(); len(got) != 200 {
			t.Errorf("bob got %d packets", len(got))
		}
		if snap := r.Survey(); snap.Dropped["queue_head"].Other.Packets == 0 || snap.Queued == 0 {
			t.Errorf("dropped %+v, queued %d", snap.Dropped, snap.Queued)
		}
		checked(t, r)
		if err := s.Ended(); !errors.Is(err, relay.ErrWriteTimeout) {
			t.Errorf("ended with %v", err)
		}
		checked(t, r)
	})
}

func TestMeshKeysRotate(t *testing.T) {
	newer, err := key.ParseMesh("ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		sibling := r.JoinAs(relaytest.Who{Name: "old", Mesh: true})
		peer := r.Join("peer")
		if err := r.ReplaceMeshKeys([]key.Mesh{newer, relaytest.MeshKey()}); err != nil {
			t.Fatal(err)
		}
		if !sibling.IsServed() {
			t.Error("a sibling whose key is still valid is gone")
		}
		a := r.Link("a")
		a.Greet()
		if a.Info.MeshKey != newer {
			t.Error("a new link does not log in with the first key")
		}
		if err := r.ReplaceMeshKeys([]key.Mesh{{}}); err == nil {
			t.Error("the key of zeros is taken")
		}
		if err := r.ReplaceMeshKeys([]key.Mesh{newer}); err != nil {
			t.Fatal(err)
		}
		if err := sibling.Ended(); !errors.Is(err, relay.ErrMeshKeyReplaced) {
			t.Errorf("a sibling with the old key ended with %v", err)
		}
		if !peer.IsServed() {
			t.Error("a regular peer is gone")
		}
		late := r.JoinAs(relaytest.Who{Name: "late", Mesh: true})
		if n := r.Survey().WrongMeshKeys; n != 1 || !late.IsServed() {
			t.Errorf("%d wrong keys are counted, and their peer is served: %v", n, late.IsServed())
		}
	})
}

// A peer with a wrong mesh key is an ordinary one. The operator hears of it once a
// minute at most, however often it comes.
func TestWrongMeshKeyIsLogged(t *testing.T) {
	var log strings.Builder
	other, err := key.ParseMesh(strings.Repeat("5a", 32))
	if err != nil {
		t.Fatal(err)
	}
	cfg := relay.Config{MeshKeys: []key.Mesh{other}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	inBubble(t, cfg, func(t *testing.T, r *relaytest.Relay) {
		said := func() int {
			synctest.Wait()
			return strings.Count(log.String(), "level=WARN")
		}
		r.Join("without a key")
		if said() != 0 {
			t.Errorf("logged %q", log.String())
		}
		for i := range 3 {
			r.JoinAs(relaytest.Who{Name: fmt.Sprint(i), Mesh: true})
		}
		if said() != 1 || !strings.Contains(log.String(), "mesh key") {
			t.Errorf("logged %q", log.String())
		}
		time.Sleep(61 * time.Second)
		wrong := r.JoinAs(relaytest.Who{Name: "later", Mesh: true})
		if said() != 2 {
			t.Errorf("logged %q", log.String())
		}
		wrong.Send(derp.AppendWatchConns(nil))
		if err := wrong.Ended(); !errors.Is(err, relay.ErrNotPrivileged) {
			t.Errorf("a watcher with a wrong key ended with %v", err)
		}
	})
}

func TestSiblingSeen(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		seen := func(c <-chan struct{}) bool {
			synctest.Wait()
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		first := r.SiblingSeen()
		r.Join("peer")
		if seen(first) {
			t.Error("a regular peer is taken for a sibling")
		}
		r.JoinAs(relaytest.Who{Name: "a", Mesh: true})
		if !seen(first) {
			t.Error("a sibling is not seen")
		}
		if second := r.SiblingSeen(); seen(second) {
			t.Error("a sibling is seen twice")
		}
	})
}

// Two relays: packets cross, PeerGone comes from the whole region, and no packet
// goes further than one hop.
func TestTwoRelays(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		far := relaytest.New(t, relay.Config{Key: relaytest.Key("far")})
		cut := relaytest.Mesh(r, far)
		synctest.Wait()
		alice, bob := r.Join("alice"), far.Join("bob")
		r.Public("bob")
		far.Public("alice")
		synctest.Wait()
		for range 3 {
			alice.SendPacket(bob.Public(), "there")
			bob.Expect(`RecvPacket(src=alice,"there")`)
			bob.SendPacket(alice.Public(), "back")
			alice.Expect(`RecvPacket(src=bob,"back")`)
		}
		checked(t, r, far)
		bob2 := r.Join("bob")
		bob.Close()
		alice.Expect()
		bob2.Close()
		alice.Expect("PeerGone(bob,reason=0)")
		checked(t, r, far)
		carol := far.Join("carol")
		r.Public("carol")
		carol.SendPacket(alice.Public(), "hi")
		alice.Expect(`RecvPacket(src=carol,"hi")`)
		cut()
		alice.Expect("PeerGone(carol,reason=0)")
		checked(t, r, far)
		alice.Send(derp.AppendSendPacket(nil, carol.Public(), disco("")))
		alice.Expect("PeerGone(carol,reason=1)")
	})
}

func TestLinkToARestartingSibling(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		var in, try time.Duration
		old := r.LinkAs(relay.Sibling{Name: "a", Restarting: func(i, f time.Duration) { in, try = i, f }})
		old.Greet()
		old.Admit()
		old.Announce("server", "x", "y")
		sender := r.Join("sender")
		old.Send(derp.AppendRestarting(nil, time.Second, 2*time.Second))
		synctest.Wait()
		sender.SendPacket(r.Public("x"), "1")
		old.Expect(`ForwardPacket(src=sender,dst=x,"1")`)
		if in != time.Second || try != 2*time.Second {
			t.Errorf("called back with %v, %v", in, try)
		}
		next := r.LinkedTo("a") // the same key
		next.Announce("x")
		synctest.Wait()
		sender.SendPacket(r.Public("x"), "2")
		sender.SendPacket(r.Public("y"), "3")
		next.Expect(`ForwardPacket(src=sender,dst=x,"2")`)
		old.Expect(`ForwardPacket(src=sender,dst=y,"3")`)
		checked(t, r)
		old.Close()
		synctest.Wait()
		sender.Send(derp.AppendSendPacket(nil, r.Public("y"), disco("")))
		sender.Expect("PeerGone(y,reason=1)")
		checked(t, r)
	})
}

// Presence of one key comes in order, and quickly enough to be told at once.
func TestWatcherOfAMeshedRelayHearsOfItsOwnPeersOnly(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		a := r.LinkedTo("a")
		a.Announce("x")
		r.Join("alice")
		w := r.JoinAs(relaytest.Who{Name: "w", Mesh: true})
		w.Send(derp.AppendWatchConns(nil))
		got := w.Got()
		slices.Sort(got)
		if want := []string{"PeerPresent(alice,flags=1)", "PeerPresent(w,flags=2)"}; !slices.Equal(got, want) {
			t.Errorf("the flood is %q, want %q", got, want)
		}
		a.Announce("alice")
		a.Withdraw("x")
		w.Expect()
	})
}
