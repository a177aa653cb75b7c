package relay_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// flood sends numbered packets for as long as the peer is there, as fast as the
// relay takes them and whatever it was told.
func flood(p *relaytest.Peer, dst key.Public, size int) {
	go func() {
		packet := make([]byte, size)
		for n := uint64(0); ; n++ {
			binary.BigEndian.PutUint64(packet, n)
			if _, err := p.Conn.Write(derp.AppendSendPacket(nil, dst, packet)); err != nil {
				return
			}
		}
	}()
}

// cameFrom returns how many bytes of whole frames have come from peers.
func cameFrom(r *relaytest.Relay) float64 {
	c := r.Counters().Received
	return float64(c.Disco.Bytes+c.Other.Bytes) + 37*float64(c.Disco.Packets+c.Other.Packets)
}

func near(got, want, by float64) bool { return math.Abs(got-want) <= by*want }

// stateOf returns the state of a conn of a key.
func stateOf(r *relaytest.Relay, k key.Public) (state relay.PeerState) {
	for p := range r.Peers {
		if p.Peer == k {
			state = p
		}
	}
	return state
}

// dropsOf returns how many packets have been given up.
func dropsOf(r *relaytest.Relay) (n uint64) {
	for _, k := range r.Counters().Dropped {
		n += k.Disco.Packets + k.Other.Packets
	}
	return n
}

// What a key may send arrives, all of it and in its order, and no more.
func TestKeyHasItsLimit(t *testing.T) {
	for _, perSecond := range []int64{8_000, 125_000, 1_250_000} {
		for _, size := range []int{1400, derp.MaxPacket} {
			t.Run(fmt.Sprint(perSecond, " ", size), func(t *testing.T) {
				inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
					r.SetLimits(relay.LimitRules{Keys: relay.Limits{In: perSecond, Burst: 100_000}})
					alice, bob := r.Join("alice"), r.Join("bob")
					flood(alice, bob.Public(), size)
					time.Sleep(20 * time.Second) // the burst
					before := cameFrom(r)
					time.Sleep(60 * time.Second)
					if got, want := cameFrom(r)-before, float64(60*perSecond); !near(got, want, 0.05) && math.Abs(got-want) > float64(size)+37 {
						t.Errorf("%.0f bytes in a minute, want %.0f", got, want)
					}
					if n := dropsOf(r); n > 0 {
						t.Errorf("%d packets dropped", n)
					}
					frames, _ := bob.Frames()
					next := uint64(0)
					for _, f := range frames {
						if f.Type == derp.FrameRecvPacket {
							if n := binary.BigEndian.Uint64(f.Payload[key.Len:]); n != next {
								t.Fatalf("packet %d instead of %d", n, next)
							}
							next++
						}
					}
					state := stateOf(r, alice.Public())
					if state.Limits != (relay.Limits{In: perSecond, Burst: 100_000}) || state.LimitedMS < 60_000 || !alice.IsServed() {
						t.Errorf("%+v", state)
					}
					if c := r.Counters().Limited["in"]; c.Bursts == 0 || c.Bytes == 0 || c.MS < 60_000 {
						t.Errorf("%+v", c)
					}
				})
			})
		}
	}
}

// Several conns of a key have its limit together.
func TestDuplicatesShareTheirLimit(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r.SetLimits(relay.LimitRules{Keys: relay.Limits{In: 100_000}})
		bob := r.Join("bob")
		for range 3 {
			flood(r.Join("alice"), bob.Public(), 1400)
		}
		time.Sleep(5 * time.Second)
		before := cameFrom(r)
		time.Sleep(20 * time.Second)
		if got := cameFrom(r) - before; !near(got, 2e6, 0.05) {
			t.Errorf("%.0f bytes", got)
		}
	})
}

// What goes to a key is limited by making all wait who send to it.
func TestReceiverHasItsLimit(t *testing.T) {
	for _, senders := range []int{1, 5} {
		t.Run(fmt.Sprint(senders), func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				r.SetLimits(relay.LimitRules{Groups: map[string]relay.Limits{"": {Out: 125_000}}})
				bob := r.Join("bob")
				for n := range senders {
					flood(r.Join(fmt.Sprint("sender", n)), bob.Public(), 1400)
				}
				time.Sleep(5 * time.Second)
				before := stateOf(r, bob.Public()).Sent
				time.Sleep(20 * time.Second)
				got := float64(stateOf(r, bob.Public()).Sent-before) * 1437 / 1400
				if !near(got, 2.5e6, 0.05) || dropsOf(r) > 0 {
					t.Errorf("%.0f bytes, %d packets dropped", got, dropsOf(r))
				}
				if c := r.Counters().Limited["out"]; c.Bursts == 0 {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

// Who sends a little to a key that others flood is not held up until they have paid,
// and still the key gets no more than its limit.
func TestFloodedReceiverHoldsNobodyUp(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r.SetLimits(relay.LimitRules{Keys: relay.Limits{Out: 125_000}})
		bob, alice, carol := r.Join("bob"), r.Join("alice"), r.Join("carol")
		for n := range 100 {
			flood(r.Join(fmt.Sprint("sender", n)), bob.Public(), derp.MaxPacket)
		}
		time.Sleep(time.Second)
		alice.Send(derp.AppendSendPacket(nil, bob.Public(), make([]byte, 100)))
		synctest.Wait()
		go alice.Conn.Write(derp.AppendSendPacket(nil, carol.Public(), make([]byte, 100)))
		time.Sleep(time.Second)
		if stateOf(r, carol.Public()).Sent == 0 {
			t.Error("a packet to somebody else waits for those who flood")
		}
		time.Sleep(3 * time.Minute)
		before := cameFrom(r)
		time.Sleep(time.Minute)
		if got := cameFrom(r) - before; !near(got, 60*125_000, 0.05) {
			t.Errorf("%.0f bytes in a minute", got)
		}
	})
}

// Siblings are exempt: neither what they send nor what they forward is limited, or
// charged to anybody.
func TestSiblingsAreExempt(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r.SetLimits(relay.LimitRules{Keys: relay.Limits{In: 8000, Out: 8000}, Total: 8000})
		bob, carol := r.Join("bob"), r.Join("carol")
		sibling := r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true})
		start := time.Now()
		for range 1000 {
			sibling.Send(derp.AppendForwardPacket(nil, relaytest.Key("far").Public(), bob.Public(), make([]byte, 1400)))
		}
		synctest.Wait()
		carol.SendPacket(bob.Public(), "hello")
		synctest.Wait()
		if got := r.Counters().Received.Other.Packets; got != 1001 || time.Since(start) > 0 {
			t.Errorf("%d packets in %v", got, time.Since(start))
		}
		if s := stateOf(r, sibling.Public()); s.Resting || s.Limits != (relay.Limits{}) {
			t.Errorf("%+v", s)
		}
	})
}

// rests waits until the conn of a peer is not read.
func rests(t *testing.T, r *relaytest.Relay, p *relaytest.Peer) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !stateOf(r, p.Public()).Resting; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never rests")
		}
	}
}

// slowest makes a peer rest for seconds.
var slowest = relay.LimitRules{Keys: relay.Limits{In: 8000}}

// resting returns a peer that is not read although it has packets left.
func resting(t *testing.T, r *relaytest.Relay) *relaytest.Peer {
	t.Helper()
	r.SetLimits(slowest)
	alice, bob := r.Join("alice"), r.Join("bob")
	go func() {
		for range few {
			alice.Conn.Write(derp.AppendSendPacket(nil, bob.Public(), make([]byte, derp.MaxPacket))) // fails if the relay ends it
		}
	}()
	rests(t, r, alice)
	return alice
}

// few is how many packets a peer sends that comes to rest.
const few = 5

func TestRestEndsSoon(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(r *relaytest.Relay)
		want error
	}{
		"closed": {func(r *relaytest.Relay) {
			r.Close(func(relay.PeerState) bool { return true }, relay.ErrExpired, 0)
		}, relay.ErrExpired},
		"shutdown": {func(r *relaytest.Relay) { r.Shutdown(context.Background()) }, relay.ErrShutdown},
		"drained":  {func(r *relaytest.Relay) { r.Drain(context.Background(), 0) }, relay.ErrRestarting},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				alice := resting(t, r)
				start := time.Now()
				c.end(r)
				if err := alice.Ended(); !errors.Is(err, c.want) {
					t.Errorf("ended with %v", err)
				}
				if took := time.Since(start); took > 250*time.Millisecond {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

// Other limits count at once for those who rest, and are told.
func TestLimitsChangeWhileSomebodyRests(t *testing.T) {
	for name, rules := range map[string]relay.LimitRules{
		"removed": {}, "raised": {Keys: relay.Limits{In: 10e6}}, "by a total": {Total: 10e6}, "of a group": {Keys: slowest.Keys, Groups: map[string]relay.Limits{"": {}}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				alice := resting(t, r)
				if got := cameFrom(r); got > few/2*70_000 {
					t.Errorf("%.0f bytes before it rests", got)
				}
				r.SetLimits(rules)
				time.Sleep(300 * time.Millisecond)
				if got := stateOf(r, alice.Public()).Received; got != few*derp.MaxPacket {
					t.Errorf("%d bytes have come", got)
				}
			})
		})
	}
}

func TestPeersAreToldOfNewLimits(t *testing.T) {
	admit := func(_ context.Context, a relay.Applicant) (relay.Admission, error) {
		if a.Info.AppName == "own" {
			return relay.Admission{Group: "a", Limits: relay.Limits{In: 777_777}}, nil
		}
		return relay.Admission{Group: a.Info.AppName}, nil
	}
	inBubble(t, relay.Config{Admit: admit}, func(t *testing.T, r *relaytest.Relay) {
		a, b := r.JoinAs(relaytest.Who{Name: "a", AppName: "a"}), r.JoinAs(relaytest.Who{Name: "b"})
		own := r.JoinAs(relaytest.Who{Name: "own", AppName: "own"})
		sibling := r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true})
		told := func(p *relaytest.Peer) (perSecond []int) {
			frames, _ := p.Frames()
			box := p.Key.Box(r.PublicKey())
			for _, f := range frames {
				if f.Type == derp.FrameServerInfo {
					info, err := derp.OpenServerInfo(f.Payload, &box)
					if err != nil {
						t.Fatal(err)
					}
					perSecond = append(perSecond, info.TokenBucketBytesPerSecond)
				}
			}
			return perSecond
		}
		for _, c := range []struct {
			rules relay.LimitRules
			a, b  string
		}{
			{relay.LimitRules{}, "[]", "[]"},
			{relay.LimitRules{Keys: relay.Limits{In: 20_000}}, "[20000]", "[20000]"},
			{relay.LimitRules{Keys: relay.Limits{In: 20_000, Out: 5e6}, Total: 1e6}, "[]", "[]"},
			{relay.LimitRules{Keys: relay.Limits{In: 20_000}, Groups: map[string]relay.Limits{"a": {In: 30_000}}}, "[30000]", "[]"},
			{relay.LimitRules{Groups: map[string]relay.Limits{"a": {In: 30_000, Burst: 1e6}}}, "[30000]", "[0]"},
			{relay.LimitRules{}, "[0]", "[]"},
		} {
			r.SetLimits(c.rules)
			if gotA, gotB := fmt.Sprint(told(a)), fmt.Sprint(told(b)); gotA != c.a || gotB != c.b {
				t.Errorf("%+v: told %s and %s, want %s and %s", c.rules, gotA, gotB, c.a, c.b)
			}
			if got := fmt.Sprint(told(own), told(sibling)); got != "[] []" {
				t.Errorf("those with limits of their own, and siblings, are told %s", got)
			}
		}
	})
}

// Who keeps a frame incomplete because it is not read is not to blame.
func TestRestIsNoFrameTimeout(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r.SetLimits(relay.LimitRules{Keys: relay.Limits{In: 8000}})
		bob := r.Join("bob")
		var peers []*relaytest.Peer
		for range 5 { // one after the other: each rests for what the others have sent
			alice := r.Join("alice")
			flood(alice, bob.Public(), derp.MaxPacket)
			peers = append(peers, alice)
		}
		time.Sleep(5 * time.Minute)
		for _, p := range peers {
			if !p.IsServed() {
				t.Errorf("ended with %v", p.Ended())
			}
		}
	})
}

// Ten greedy keys share the total, and a quiet one beside them never waits.
func TestTotalIsFair(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		r.SetLimits(relay.LimitRules{Total: 1_000_000})
		bob, quiet := r.Join("bob"), r.Join("quiet")
		var greedy []*relaytest.Peer
		for n := range 10 {
			p := r.Join(fmt.Sprint("greedy", n))
			flood(p, bob.Public(), 1000+100*n)
			greedy = append(greedy, p)
		}
		time.Sleep(5 * time.Second)
		begin, before := cameFrom(r), map[key.Public]uint64{}
		for _, p := range greedy {
			before[p.Public()] = stateOf(r, p.Public()).Received
		}
		for range 2000 {
			time.Sleep(5 * time.Millisecond)
			quiet.SendPacket(quiet.Public(), "ping")
		}
		if sum := cameFrom(r) - begin; !near(sum, 10e6, 0.05) {
			t.Errorf("%.0f bytes in 10 s", sum)
		}
		least, most := math.Inf(1), 0.
		for n, p := range greedy {
			size := float64(1000 + 100*n)
			got := float64(stateOf(r, p.Public()).Received-before[p.Public()]) * (size + 37) / size
			least, most = min(least, got), max(most, got)
		}
		if most > 1.1*least {
			t.Errorf("between %.0f and %.0f bytes", least, most)
		}
		if s := stateOf(r, quiet.Public()); s.LimitedMS > 0 {
			t.Errorf("the quiet one has rested for %d ms", s.LimitedMS)
		}
	})
}

// Who comes back at once still owes what he owed.
func TestReturningIsNoWayOut(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		for away, rested := range map[time.Duration]bool{0: true, time.Second: true, time.Minute: false} {
			alice := resting(t, r)
			alice.Close()
			alice.Ended()
			time.Sleep(away)
			alice = r.Join("alice")
			alice.Send(derp.AppendSendPacket(nil, r.Public("bob"), make([]byte, derp.MaxPacket)))
			synctest.Wait()
			if got := stateOf(r, alice.Public()).Resting; got != rested {
				t.Errorf("after %v away it rests: %v", away, got)
			}
			alice.Close()
			alice.Ended()
			r.SetLimits(relay.LimitRules{})
			time.Sleep(time.Minute)
		}
	})
}
