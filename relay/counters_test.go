package relay_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// drops provokes each drop by its reason.
var drops = map[string]func(r *relaytest.Relay){
	"unknown_dest": func(r *relaytest.Relay) { r.Join("alice").SendPacket(r.Public("nobody"), "hi") },
	"unknown_dest_on_fwd": func(r *relaytest.Relay) {
		sibling := r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true})
		sibling.Send(derp.AppendForwardPacket(nil, r.Public("far"), r.Public("nobody"), nil))
	},
	"gone_disconnected": func(r *relaytest.Relay) { fillDeaf(r, 10).Close() },
	"queue_head":        func(r *relaytest.Relay) { fillDeaf(r, 100) },
	"queue_tail": func(r *relaytest.Relay) {
		alice := r.Join("alice")
		alice.Send(derp.AppendSendPacket(nil, alice.Public(), make([]byte, 9000)))
	},
	"queue_age": func(r *relaytest.Relay) {
		deaf := fillDeaf(r, 10)
		time.Sleep(time.Second)
		deaf.Listen()
	},
	"queue_memory": func(r *relaytest.Relay) {
		for range 3 {
			fillDeaf(r, 40)
		}
	},
	"write_error": func(r *relaytest.Relay) {
		p, cable := joinByCable(r)
		alice := r.Join("alice")
		for range 3 { // the first one is on its way
			alice.SendPacket(p.Public(), "hi")
			synctest.Wait()
		}
		cable.writeErr = errors.New("cable cut")
		p.Listen()
	},
	// With the one policy there is for duplicates, a key with conns always has an
	// active one, so this reason is provoked from inside (contest_test.go).
	"dup_client": nil,
}

// fillDeaf sends packets of 100 bytes to a peer that takes nothing.
func fillDeaf(r *relaytest.Relay, packets int) *relaytest.Peer {
	deaf := r.JoinAs(relaytest.Who{Name: "deaf", Deaf: true})
	alice := r.Join("alice")
	for range packets {
		alice.Send(derp.AppendSendPacket(nil, deaf.Public(), make([]byte, 100)))
		synctest.Wait()
	}
	return deaf
}

// joinByCable logs a deaf peer in over a conn that can be cut.
func joinByCable(r *relaytest.Relay) (*relaytest.Peer, *cable) {
	near, far := net.Pipe()
	c := &cable{Conn: far}
	p := r.DialOver(relaytest.Who{Name: "p", Deaf: true}, near, netio.Blocking(c, nil))
	p.Login()
	synctest.Wait()
	return p, c
}

func TestEveryDropIsCounted(t *testing.T) {
	for reason, provoke := range drops {
		if provoke == nil {
			continue
		}
		t.Run(reason, func(t *testing.T) {
			cfg := relay.Config{OutboxBytes: 8 << 10}
			if reason == "queue_memory" {
				cfg.OutboxMemory = 64 << 10
			}
			inBubble(t, cfg, func(t *testing.T, r *relaytest.Relay) {
				provoke(r)
				synctest.Wait()
				r.CheckSums()
				s := r.Survey()
				if s.Dropped[reason].Other.Packets == 0 {
					t.Errorf("not counted: %+v", s.Dropped)
				}
				if got, want := keys(s.Dropped), keys(drops); !slices.Equal(got, want) {
					t.Errorf("reasons are %q, provoked are %q", got, want)
				}
			})
		})
	}
}

// ends provokes the end of a conn for each reason.
var ends = map[string]func(r *relaytest.Relay){
	"eof": func(r *relaytest.Relay) { r.Join("alice").Close() },
	"read_error": func(r *relaytest.Relay) {
		p, cable := joinByCable(r)
		cable.readErr = errors.New("cable cut")
		p.Send(ping("ABCDEFGH"))
	},
	"write_error": drops["write_error"],
	"write_timeout": func(r *relaytest.Relay) {
		fillDeaf(r, 1)
		time.Sleep(5 * time.Second)
	},
	"bad_frame": func(r *relaytest.Relay) { r.Join("alice").Send(derp.AppendHeader(nil, derp.FramePing, 0)) },
	"frame_timeout": func(r *relaytest.Relay) {
		r.Join("alice").Send(ping("ABCDEFGH")[:7])
		time.Sleep(32 * time.Second)
	},
	"not_privileged": func(r *relaytest.Relay) { r.Join("alice").Send(derp.AppendWatchConns(nil)) },
	"overrun":        nil, // takes 64 MB to provoke, so it is done from inside (presence_test.go)
	"login_timeout": func(r *relaytest.Relay) {
		r.Dial(relaytest.Who{Name: "alice"})
		time.Sleep(10 * time.Second)
	},
	"login_memory": nil, // takes 16 MiB to provoke (loginmemory_test.go)
	"bad_login": func(r *relaytest.Relay) {
		p := r.Dial(relaytest.Who{Name: "alice"})
		p.ExpectGreeting()
		p.Send(ping("ABCDEFGH"))
	},
	"not_admitted": func(r *relaytest.Relay) { ask(r, "nobody") },
	"admit_timeout": func(r *relaytest.Relay) {
		ask(r, "patient")
		time.Sleep(5 * time.Second)
	},
	"admit_busy": func(r *relaytest.Relay) {
		ask(r, "patient")
		ask(r, "alice")
	},
	"expired": func(r *relaytest.Relay) {
		r.Join("guest")
		time.Sleep(time.Minute + time.Second)
	},
	"revoked": func(r *relaytest.Relay) {
		r.Join("alice")
		r.Server.Close(func(relay.PeerState) bool { return true }, relay.ErrRevoked, 0)
	},
	"banned": func(r *relaytest.Relay) {
		r.Join("alice")
		r.Server.Close(func(relay.PeerState) bool { return true }, relay.ErrBanned, 0)
	},
	"close_peer": func(r *relaytest.Relay) {
		alice := r.Join("alice")
		r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true}).Send(derp.AppendClosePeer(nil, alice.Public()))
	},
	"shutdown": func(r *relaytest.Relay) {
		r.Join("alice")
		r.Shutdown(context.Background())
	},
	"restarting": func(r *relaytest.Relay) {
		r.Join("alice")
		r.Drain(context.Background(), time.Second)
	},
	"rebalanced": func(r *relaytest.Relay) {
		r.JoinAs(relaytest.Who{Name: "alice", NotIdeal: true})
		time.Sleep(2 * time.Second)
		r.Server.Close(func(relay.PeerState) bool { return true }, relay.ErrRebalanced, 1)
	},
	"quota": func(r *relaytest.Relay) {
		r.Join("alice")
		r.Server.Close(func(relay.PeerState) bool { return true }, relay.ErrQuota, 0)
	},
	"mesh_key": func(r *relaytest.Relay) {
		r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true})
		r.ReplaceMeshKeys(nil)
	},
}

func TestEveryEndIsCounted(t *testing.T) {
	cfg := relay.Config{
		AdmitPending: 1,
		Admit: func(ctx context.Context, a relay.Applicant) (relay.Admission, error) {
			switch a.Peer {
			case relaytest.Key("nobody").Public():
				return relay.Admission{}, errors.New("no")
			case relaytest.Key("patient").Public():
				<-ctx.Done()
				return relay.Admission{}, ctx.Err()
			case relaytest.Key("guest").Public():
				return relay.Admission{Until: time.Now().Add(time.Minute)}, nil
			}
			return relay.Admission{}, nil
		},
	}
	for reason, provoke := range ends {
		if provoke == nil {
			continue
		}
		t.Run(reason, func(t *testing.T) {
			inBubble(t, cfg, func(t *testing.T, r *relaytest.Relay) {
				provoke(r)
				synctest.Wait()
				s := r.Survey()
				if s.Ended[reason] != 1 {
					t.Errorf("counted %d times: %+v", s.Ended[reason], s.Ended)
				}
				if got, want := keys(s.Ended), keys(ends); !slices.Equal(got, want) {
					t.Errorf("reasons are %q, provoked are %q", got, want)
				}
			})
		})
	}
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
