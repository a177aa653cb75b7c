package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// ask connects a peer that has proven its key and waits for admission.
func ask(r *relaytest.Relay, name string, ahead ...[]byte) *relaytest.Peer {
	p := r.Dial(relaytest.Who{Name: name})
	p.ExpectGreeting()
	p.Send(regular(p))
	for _, frame := range ahead {
		p.Send(frame)
	}
	synctest.Wait()
	return p
}

func TestAdmission(t *testing.T) {
	sorry := errors.New("not today")
	var asked []relay.Applicant
	cfg := relay.Config{Admit: func(_ context.Context, a relay.Applicant) (relay.Admission, error) {
		asked = append(asked, a)
		if a.Info.AppName == "" {
			return relay.Admission{}, sorry
		}
		return relay.Admission{}, nil
	}}
	inBubble(t, cfg, func(t *testing.T, r *relaytest.Relay) {
		addr := netip.MustParseAddrPort("192.0.2.7:41641")
		r.JoinAs(relaytest.Who{Name: "mesh-peer", Mesh: true}).Expect()
		if len(asked) != 0 {
			t.Fatal("a sibling was asked for admission")
		}

		refused := r.Dial(relaytest.Who{Name: "alice", Addr: addr})
		refused.ExpectGreeting()
		refused.Send(regular(refused))
		refused.Listen()
		refused.Expect("EOF")
		if err := refused.Ended(); !errors.Is(err, sorry) || !errors.Is(err, relay.ErrNotAdmitted) {
			t.Errorf("ended with %v", err)
		}
		if s := r.Survey(); s.Ended["not_admitted"] != 1 || s.Conns != 1 {
			t.Errorf("counted %+v", s)
		}

		welcome := r.Dial(relaytest.Who{Name: "alice", Addr: addr})
		welcome.ExpectGreeting()
		welcome.Send(welcome.ClientInfo(derp.ClientInfo{AppName: "example-app", Version: 99}))
		welcome.ExpectServerInfo()
		want := relay.Applicant{
			Peer: welcome.Public(), Addr: addr, Info: derp.ClientInfo{AppName: "example-app", Version: 99},
		}
		if len(asked) != 2 || asked[1] != want {
			t.Errorf("asked about %+v, want %+v", asked, want)
		}
	})
}

// An admission callback that waits for its context does not outlive the relay.
func TestAdmissionEndsWithTheRelay(t *testing.T) {
	inBubble(t, relay.Config{Admit: admitNobodyYet}, func(t *testing.T, r *relaytest.Relay) {
		p := r.Dial(relaytest.Who{Name: "alice"})
		p.ExpectGreeting()
		p.Send(regular(p))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil {
			t.Error(err)
			r.Cancel()
		}
	})
}

// after returns an Admit that takes its time, and says yes whatever its context
// says meanwhile.
func after(d time.Duration) func(context.Context, relay.Applicant) (relay.Admission, error) {
	return func(context.Context, relay.Applicant) (relay.Admission, error) {
		time.Sleep(d)
		return relay.Admission{}, nil
	}
}

func TestAdmissionHasATime(t *testing.T) {
	for name, c := range map[string]struct {
		admit func(context.Context, relay.Applicant) (relay.Admission, error)
		limit time.Duration // Config.AdmitTimeout
		want  error
		took  time.Duration
	}{
		"at once":                {after(0), 0, nil, 0},
		"soon":                   {after(20 * time.Millisecond), 0, nil, 20 * time.Millisecond},
		"slowly":                 {after(4 * time.Second), 0, nil, 4 * time.Second},
		"slower than its time":   {after(time.Minute), 0, relay.ErrAdmitTimeout, 5 * time.Second},
		"heeds its context":      {admitNobodyYet, 0, relay.ErrAdmitTimeout, 5 * time.Second},
		"a shorter time":         {after(time.Minute), time.Second, relay.ErrAdmitTimeout, time.Second},
		"shorter than the watch": {after(time.Minute), time.Millisecond, relay.ErrAdmitTimeout, time.Millisecond},
		"a longer time":          {after(50 * time.Second), time.Minute, nil, 50 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{Admit: c.admit, AdmitTimeout: c.limit}, func(t *testing.T, r *relaytest.Relay) {
				start := time.Now()
				p := ask(r, "alice")
				if c.want == nil {
					p.ExpectServerInfo()
					p.Listen()
					p.SendPacket(p.Public(), "memo")
					p.Expect(`RecvPacket(src=alice,"memo")`)
				} else if err := p.Ended(); !errors.Is(err, c.want) {
					t.Errorf("ended with %v, want %v", err, c.want)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
			})
		})
	}
}

func TestAdmissionsAreBounded(t *testing.T) {
	inBubble(t, relay.Config{Admit: after(time.Second), AdmitPending: 3}, func(t *testing.T, r *relaytest.Relay) {
		var peers []*relaytest.Peer
		for n := range 5 {
			peers = append(peers, ask(r, fmt.Sprint(n)))
		}
		if got := r.Counters().Admitting; got != 3 {
			t.Errorf("%d ask for admission, want 3", got)
		}
		for n, p := range peers {
			if n < 3 {
				p.ExpectServerInfo()
			} else if err := p.Ended(); !errors.Is(err, relay.ErrAdmitBusy) {
				t.Errorf("peer %d ended with %v", n, err)
			}
		}
		ask(r, "late").ExpectServerInfo()
	})
}

// A call that ignores its context keeps its place until it returns: the bound is
// one of calls, not of peers that wait.
func TestHangingAdmissionKeepsItsPlace(t *testing.T) {
	inBubble(t, relay.Config{Admit: after(time.Minute), AdmitPending: 1}, func(t *testing.T, r *relaytest.Relay) {
		ask(r, "alice").Ended()
		if err := ask(r, "bob").Ended(); !errors.Is(err, relay.ErrAdmitBusy) {
			t.Errorf("ended with %v", err)
		}
		time.Sleep(time.Minute)
		if n := r.Counters().Admitting; n != 0 {
			t.Errorf("%d still ask", n)
		}
	})
}

// The context ends when the peer leaves, whatever it has sent ahead.
func TestAdmissionNoticesThatThePeerLeaves(t *testing.T) {
	for name, ahead := range map[string][][]byte{
		"silent":         nil,
		"sent ahead":     {derp.AppendNotePreferred(nil, true)},
		"half a frame":   {derp.AppendNotePreferred(nil, true)[:3]},
		"one at a time":  {ping("ABCDEFGH")[:2], ping("ABCDEFGH")[2:]},
		"many of frames": {make([]byte, 0), ping("ABCDEFGH"), ping("ABCDEFGH")},
	} {
		t.Run(name, func(t *testing.T) {
			var cause error
			cfg := relay.Config{AdmitTimeout: time.Hour, Admit: func(ctx context.Context, _ relay.Applicant) (relay.Admission, error) {
				<-ctx.Done()
				cause = ctx.Err()
				return relay.Admission{}, nil // too late
			}}
			inBubble(t, cfg, func(t *testing.T, r *relaytest.Relay) {
				p := r.Dial(relaytest.Who{Name: "alice"})
				p.ExpectGreeting()
				p.Send(regular(p))
				time.Sleep(time.Second)
				for _, frame := range ahead {
					p.Send(frame)
				}
				p.Close()
				if err := p.Ended(); !errors.Is(err, io.EOF) {
					t.Errorf("ended with %v", err)
				}
				synctest.Wait()
				if cause == nil {
					t.Error("the context lives on")
				}
				if s := r.Counters(); s.Conns != 0 || s.Ended["eof"] != 1 || s.Admitting != 0 {
					t.Errorf("counted %+v", s)
				}
			})
		})
	}
}

// What a peer sends while it waits is relayed in its order, once it is in.
func TestWhatIsSentAheadIsRelayed(t *testing.T) {
	for _, cut := range []int{0, 1, 4, 5, 6, 40, 41, 5000, 70_000} {
		t.Run(fmt.Sprint("cut ", cut), func(t *testing.T) {
			inBubble(t, relay.Config{Admit: admitBobAtOnce}, func(t *testing.T, r *relaytest.Relay) {
				bob := r.Join("bob")
				var all []byte
				var want []string
				all = append(all, derp.AppendNotePreferred(nil, true)...)
				for n := range 40 {
					packet := fmt.Sprint(n)
					all = derp.AppendSendPacket(all, bob.Public(), []byte(packet))
					want = append(want, fmt.Sprintf("RecvPacket(src=alice,%q)", packet))
				}
				all = append(derp.AppendHeader(all, 0x99, 60_000), make([]byte, 60_000)...) // ignored
				all = derp.AppendSendPacket(all, bob.Public(), []byte("last"))
				want = append(want, `RecvPacket(src=alice,"last")`)
				cut := min(cut, len(all))

				p := r.Dial(relaytest.Who{Name: "alice"})
				p.ExpectGreeting()
				p.Send(regular(p))
				time.Sleep(time.Second)
				go func() {
					p.Send(all[:cut])
					time.Sleep(5 * time.Second)
					p.Send(all[cut:])
				}()
				p.ExpectServerInfo()
				p.Listen()
				time.Sleep(10 * time.Second)
				bob.Expect(want...)
				if s := r.Counters(); s.Conns != 2 || s.Homes != 1 {
					t.Errorf("counted %+v", s)
				}
				p.Close()
				p.Ended()
			})
		})
	}
}

// admitBobAtOnce lets everybody else wait for 3 s.
func admitBobAtOnce(_ context.Context, a relay.Applicant) (relay.Admission, error) {
	if a.Peer != relaytest.Key("bob").Public() {
		time.Sleep(3 * time.Second)
	}
	return relay.Admission{}, nil
}

// A peer that sends rubbish ahead is refused for it, once it is in.
func TestRubbishIsSentAhead(t *testing.T) {
	inBubble(t, relay.Config{Admit: after(3 * time.Second)}, func(t *testing.T, r *relaytest.Relay) {
		p := r.Dial(relaytest.Who{Name: "alice"})
		p.ExpectGreeting()
		p.Send(regular(p))
		time.Sleep(time.Second)
		p.Send(derp.AppendWatchConns(nil))
		p.Listen()
		if err := p.Ended(); !errors.Is(err, relay.ErrNotPrivileged) {
			t.Errorf("ended with %v", err)
		}
	})
}

func TestAdmissionIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		limits relay.Limits
		want   derp.ServerInfo
	}{
		"no limits":        {relay.Limits{}, derp.ServerInfo{Version: 2}},
		"limits":           {relay.Limits{In: 10_000, Burst: 100_000}, derp.ServerInfo{Version: 2, TokenBucketBytesPerSecond: 10_000, TokenBucketBytesBurst: 100_000}},
		"a burst is given": {relay.Limits{In: 10_000}, derp.ServerInfo{Version: 2, TokenBucketBytesPerSecond: 10_000, TokenBucketBytesBurst: 65_573}},
		"a burst alone":    {relay.Limits{Burst: 100_000}, derp.ServerInfo{Version: 2}},
		"less than none":   {relay.Limits{In: -5}, derp.ServerInfo{Version: 2}},
		"hardly any":       {relay.Limits{In: 1}, derp.ServerInfo{Version: 2, TokenBucketBytesPerSecond: 8000, TokenBucketBytesBurst: 65_573}},
		"a second's worth": {relay.Limits{In: 1e6}, derp.ServerInfo{Version: 2, TokenBucketBytesPerSecond: 1e6, TokenBucketBytesBurst: 1e6}},
		"only of the rest": {relay.Limits{Out: 1e6}, derp.ServerInfo{Version: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			admit := func(context.Context, relay.Applicant) (relay.Admission, error) {
				return relay.Admission{Limits: c.limits}, nil
			}
			inBubble(t, relay.Config{Admit: admit}, func(t *testing.T, r *relaytest.Relay) {
				p := ask(r, "alice")
				box := p.Key.Box(r.PublicKey())
				if info, err := derp.OpenServerInfo(p.Read().Payload, &box); err != nil || info != c.want {
					t.Errorf("told %+v (%v), want %+v", info, err, c.want)
				}
			})
		})
	}
}

// Until is a time of the clock: the conn lives as long, and hardly longer.
func TestAdmissionEnds(t *testing.T) {
	for _, lasts := range []time.Duration{-time.Hour, 0, time.Millisecond, 39 * time.Second, 41 * time.Second, 5 * time.Minute, 30 * time.Hour} {
		for _, keepAlive := range []time.Duration{0, -1, 5 * time.Second, 100 * time.Second} {
			t.Run(fmt.Sprint(lasts, keepAlive), func(t *testing.T) {
				admit := func(context.Context, relay.Applicant) (relay.Admission, error) {
					return relay.Admission{Until: time.Now().Add(lasts)}, nil
				}
				inBubble(t, relay.Config{Admit: admit, KeepAlive: keepAlive}, func(t *testing.T, r *relaytest.Relay) {
					start := time.Now()
					p := r.Join("alice")
					if lasts > time.Minute {
						time.Sleep(lasts - 2*time.Second)
						if !p.IsServed() {
							t.Fatal("ended too early")
						}
					}
					for p.IsServed() {
						time.Sleep(100 * time.Millisecond)
					}
					if took := time.Since(start); took < lasts || took > max(lasts, 0)+1200*time.Millisecond {
						t.Errorf("ended after %v", took)
					}
					if err := p.Ended(); !errors.Is(err, relay.ErrExpired) {
						t.Errorf("ended with %v", err)
					}
				})
			})
		}
	}
}

// A group has the counters of its conns as long as it has any.
func TestGroupsCount(t *testing.T) {
	admit := func(_ context.Context, a relay.Applicant) (relay.Admission, error) {
		return relay.Admission{Group: a.Info.AppName}, nil
	}
	inBubble(t, relay.Config{Admit: admit}, func(t *testing.T, r *relaytest.Relay) {
		of := func(name, group string) *relaytest.Peer { return r.JoinAs(relaytest.Who{Name: name, AppName: group}) }
		a1, a2, b, none := of("a1", "a"), of("a2", "a"), of("b", "b"), of("none", "")
		for _, p := range []*relaytest.Peer{a1, a2, b, none} {
			p.SendPacket(none.Public(), "1234")
			p.SendPacket(r.Public("nobody"), "123")
		}
		synctest.Wait()
		want := []relay.GroupState{
			{Name: "a", Conns: 2, Received: relay.Traffic{Packets: 4, Bytes: 14}},
			{Name: "b", Conns: 1, Received: relay.Traffic{Packets: 2, Bytes: 7}},
		}
		if got := r.Survey().Groups; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("groups %+v, want %+v", got, want)
		}
		a1.Close()
		b.Close()
		a1.Ended()
		b.Ended()
		if got := r.Survey().Groups; len(got) != 1 || got[0].Conns != 1 || got[0].Received.Packets != 4 {
			t.Errorf("groups %+v, want one of a2", got)
		}
	})
}

// The callback of an Origin comes when the key is proven, and not before.
func TestLoggedInIsToldOfProvenKeys(t *testing.T) {
	inBubble(t, relay.Config{Admit: after(time.Second)}, func(t *testing.T, r *relaytest.Relay) {
		proven := 0
		p := r.DialFrom(relaytest.Who{Name: "alice"}, relay.Origin{LoggedIn: func() { proven++ }})
		p.ExpectGreeting()
		frame := regular(p)
		p.Send(frame[:len(frame)-1])
		synctest.Wait()
		if proven != 0 {
			t.Error("told before the login is complete")
		}
		p.Send(frame[len(frame)-1:])
		synctest.Wait()
		if proven != 1 {
			t.Errorf("told %d times of a proven key", proven)
		}
		p.ExpectServerInfo()
		bad := r.DialFrom(relaytest.Who{Name: "bob"}, relay.Origin{LoggedIn: func() { t.Error("told of a key that is not proven") }})
		bad.ExpectGreeting()
		frame = regular(bad)
		frame[len(frame)-1] ^= 1
		bad.Send(frame)
		bad.Ended()
	})
}
