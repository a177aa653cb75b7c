package relay_test

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// inBubble runs a test with a relay in a synctest bubble.
func inBubble(t *testing.T, cfg relay.Config, f func(t *testing.T, r *relaytest.Relay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, relaytest.New(t, cfg))
	})
}

// loginFrames is the login of a peer that does not listen yet, in its parts.
func regular(p *relaytest.Peer) []byte {
	return p.ClientInfo(derp.ClientInfo{Version: derp.ProtocolVersion})
}

func TestLoginFramesOfTheVectors(t *testing.T) {
	for _, v := range relaytest.LoadVectors(t).ClientInfo {
		t.Run(v.Name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				p := r.Dial(relaytest.Who{Name: v.From})
				greeting := make([]byte, len(v.Greeting))
				if _, err := io.ReadFull(p.Conn, greeting); err != nil || !bytes.Equal(greeting, v.Greeting) {
					t.Fatalf("greeting %x (%v), want %x", greeting, err, []byte(v.Greeting))
				}
				p.Send(v.Frame)
				box := p.Key.Box(r.PublicKey())
				info, ok := box.Open(p.Read().Payload)
				if !ok || string(info) != v.ServerInfo {
					t.Errorf("answer %q (%v), want %q", info, ok, v.ServerInfo)
				}
			})
		})
	}
}

// What the frames of the vectors say shows in what watchers are told.
func TestLoginSaysWhoThePeerIs(t *testing.T) {
	addr := netip.MustParseAddrPort("192.0.2.7:41641")
	for want, who := range map[derp.PresenceFlags]relaytest.Who{
		derp.PresenceRegular:                        {Name: "x"},
		derp.PresenceMesh:                           {Name: "x", Mesh: true},
		derp.PresenceProber:                         {Name: "x", Prober: true},
		derp.PresenceNotIdeal:                       {Name: "x", NotIdeal: true},
		derp.PresenceProber | derp.PresenceNotIdeal: {Name: "x", Prober: true, NotIdeal: true, AppName: "example-app 1.0"},
	} {
		inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
			watcher := r.JoinAs(relaytest.Who{Name: "watcher", Mesh: true})
			watcher.Send(derp.AppendWatchConns(nil))
			watcher.Got()
			who.Addr = addr
			r.JoinAs(who)
			frames, _ := watcher.Frames()
			if len(frames) != 1 {
				t.Fatalf("%+v: watcher got %d frames", who, len(frames))
			}
			p, err := derp.ParsePeerPresent(frames[0].Payload)
			if err != nil || p.Flags != want || p.Addr != addr || p.AppName != who.AppName {
				t.Errorf("%+v: presence %+v (%v), want flags %d from %v", who, p, err, want, addr)
			}
			if got := r.Survey().NotIdeal; (got == 1) != who.NotIdeal {
				t.Errorf("%+v: gauge of not ideal conns is %d", who, got)
			}
		})
	}
}

func TestBadLogins(t *testing.T) {
	for _, v := range relaytest.LoadVectors(t).BadInput.Login {
		t.Run(v.Name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				p := r.Dial(relaytest.Who{Name: "alice"})
				p.ExpectGreeting()
				p.Send(v.Frame)
				if v.LoggedIn {
					p.ExpectServerInfo()
				}
				p.Listen()
				if v.Outcome == "closed" {
					p.Expect("EOF")
					if err := p.Ended(); !errors.Is(err, relay.ErrBadLogin) {
						t.Errorf("ended with %v", err)
					}
					if n := r.Survey().Ended["bad_login"]; n != 1 {
						t.Errorf("%d bad logins counted", n)
					}
					return
				}
				p.Expect()
				if !p.IsServed() || r.Survey().Conns != 1 {
					t.Error("not logged in")
				}
			})
		})
	}
}

func TestLoginWithoutAKey(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		p := r.Dial(relaytest.Who{Name: "alice"})
		p.ExpectGreeting()
		frame := regular(p)
		clear(frame[derp.HeaderLen : derp.HeaderLen+derp.KeyLen])
		p.Send(frame)
		p.Listen()
		p.Expect("EOF")
	})
}

func TestLoginOneByteAtATime(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		p := r.Dial(relaytest.Who{Name: "alice"})
		p.ExpectGreeting()
		frame := regular(p)
		for _, b := range frame {
			p.Send([]byte{b})
			time.Sleep(10 * time.Second / time.Duration(len(frame)+1))
		}
		p.ExpectServerInfo()
		p.Listen()
		p.Expect()
	})
}

func TestLoginTimesOut(t *testing.T) {
	for name, begin := range map[string]func(p *relaytest.Peer){
		"greeting not read": func(p *relaytest.Peer) {},
		"silent":            func(p *relaytest.Peer) { p.ExpectGreeting() },
		"half a header":     func(p *relaytest.Peer) { p.ExpectGreeting(); p.Send([]byte{2, 0}) },
		"all but one byte": func(p *relaytest.Peer) {
			p.ExpectGreeting()
			frame := regular(p)
			for _, b := range frame[:len(frame)-1] {
				p.Send([]byte{b})
				time.Sleep(10 * time.Second / time.Duration(len(frame)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				start := time.Now()
				p := r.Dial(relaytest.Who{Name: "alice"})
				begin(p)
				if err := p.Ended(); !errors.Is(err, relay.ErrLoginTimeout) {
					t.Errorf("ended with %v", err)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("ended after %v", took)
				}
				if n := r.Survey().Ended["login_timeout"]; n != 1 {
					t.Errorf("%d login timeouts counted", n)
				}
			})
		})
	}
}

// The answer has its 10 s from when the greeting is out.
func TestLoginTimesCountApart(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		p := r.Dial(relaytest.Who{Name: "alice"})
		time.Sleep(9 * time.Second)
		p.ExpectGreeting()
		time.Sleep(9 * time.Second)
		p.Send(regular(p))
		p.ExpectServerInfo()
		p.Listen()
		time.Sleep(time.Minute / 2)
		p.Expect()
		if !p.IsServed() {
			t.Error("a login timer outlives the login")
		}
	})
}

// Nothing is lost of what a peer sends right behind its login.
func TestFramesRightBehindTheLogin(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		bob := r.Join("bob")
		p := r.Dial(relaytest.Who{Name: "alice"})
		p.ExpectGreeting()
		p.Send(regular(p), derp.AppendNotePreferred(nil, true),
			derp.AppendSendPacket(nil, bob.Public(), []byte("1")), derp.AppendSendPacket(nil, bob.Public(), []byte("2"))[:20])
		p.Send(derp.AppendSendPacket(nil, bob.Public(), []byte("2"))[20:])
		p.ExpectServerInfo()
		p.Listen()
		bob.Expect(`RecvPacket(src=alice,"1")`, `RecvPacket(src=alice,"2")`)
		if r.Survey().Homes != 1 {
			t.Error("NotePreferred behind the login is lost")
		}
	})
}

// Packets that come as soon as the key is known wait behind the answer.
func TestServerInfoComesFirst(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice := r.Join("alice")
		bob := r.Dial(relaytest.Who{Name: "bob"})
		bob.ExpectGreeting()
		bob.Send(regular(bob))
		synctest.Wait()
		alice.SendPacket(bob.Public(), "early")
		synctest.Wait()
		bob.ExpectServerInfo()
		bob.Listen()
		bob.Expect(`RecvPacket(src=alice,"early")`)
	})
}

func TestRelayWithoutMeshKeyHasNoSiblings(t *testing.T) {
	inBubble(t, relay.Config{MeshKeys: []key.Mesh{}}, func(t *testing.T, r *relaytest.Relay) {
		p := r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true})
		p.Send(derp.AppendWatchConns(nil))
		p.Expect("EOF")
		zero := r.Join("nobody")
		zero.Send(derp.AppendWatchConns(nil))
		zero.Expect("EOF")
	})
}

func TestEveryMeshKeyIsValid(t *testing.T) {
	other, err := key.ParseMesh(strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]key.Mesh{{other, relaytest.MeshKey()}, {relaytest.MeshKey(), other}} {
		inBubble(t, relay.Config{MeshKeys: keys}, func(t *testing.T, r *relaytest.Relay) {
			p := r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true})
			p.Send(derp.AppendWatchConns(nil))
			p.Expect("PeerPresent(mesh-peer,flags=2)")
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := relay.Config{Key: relaytest.Key("server")}
	if _, err := relay.New(good); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(c *relay.Config){
		"Key":         func(c *relay.Config) { c.Key = key.Private{} },
		"MeshKeys[1]": func(c *relay.Config) { c.MeshKeys = []key.Mesh{relaytest.MeshKey(), {}} },
		"OutboxBytes": func(c *relay.Config) { c.OutboxBytes = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := relay.New(bad); err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("bad %s: error is %v", field, err)
		}
	}
}
