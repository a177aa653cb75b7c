package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// tick is how coarse the relay looks after peers that take no bytes.
const tick = 500 * time.Millisecond

func TestPeerThatTakesNothingIsClosed(t *testing.T) {
	for name, c := range map[string]struct {
		who   relaytest.Who
		cfg   relay.Config
		limit time.Duration
	}{
		"peer":       {relaytest.Who{Name: "slow"}, relay.Config{}, 2 * time.Second},
		"configured": {relaytest.Who{Name: "slow"}, relay.Config{WriteTimeout: 7 * time.Second}, 7 * time.Second},
		"sibling":    {relaytest.Who{Name: "slow", Mesh: true}, relay.Config{}, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, c.cfg, func(t *testing.T, r *relaytest.Relay) {
				c.who.Deaf = true
				alice, bob, slow := r.Join("alice"), r.Join("bob"), r.JoinAs(c.who)
				time.Sleep(5 * time.Second) // it may be deaf as long as there is nothing to hear
				start := time.Now()
				alice.SendPacket(slow.Public(), "hello")
				if err := slow.Ended(); !errors.Is(err, relay.ErrWriteTimeout) {
					t.Errorf("ended with %v", err)
				}
				if took := time.Since(start); took <= c.limit || took > c.limit+2*tick {
					t.Errorf("closed after %v, want a little over %v", took, c.limit)
				}
				alice.SendPacket(bob.Public(), "still here")
				bob.Expect(`RecvPacket(src=alice,"still here")`)
				if n := r.Survey().Ended["write_timeout"]; n != 1 {
					t.Errorf("%d write timeouts counted", n)
				}
			})
		})
	}
}

func TestWriteTimeoutCanBeOff(t *testing.T) {
	inBubble(t, relay.Config{WriteTimeout: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice, slow := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "slow", Deaf: true})
		alice.SendPacket(slow.Public(), "hello")
		time.Sleep(30 * time.Second)
		slow.Listen()
		slow.Expect(`RecvPacket(src=alice,"hello")`)
	})
}

// Another limit counts for those who are here, too; siblings have their own.
func TestWriteTimeoutChanges(t *testing.T) {
	inBubble(t, relay.Config{WriteTimeout: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice, slow := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "slow", Deaf: true})
		sibling := r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true, Deaf: true})
		alice.SendPacket(slow.Public(), "hello")
		alice.SendPacket(sibling.Public(), "hello")
		time.Sleep(20 * time.Second)
		if err := r.Retime(0, 15*time.Second); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := slow.Ended(); !errors.Is(err, relay.ErrWriteTimeout) || time.Since(began) > 2*tick {
			t.Errorf("ended with %v after %v", err, time.Since(began))
		}
		if err := sibling.Ended(); !errors.Is(err, relay.ErrWriteTimeout) || time.Since(began) < 5*time.Second {
			t.Errorf("the sibling ended with %v after %v", err, time.Since(began))
		}
	})
}

// A peer that does not even take its KeepAlive is dead.
func TestDeadPeerIsFoundByKeepAlive(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		slow := r.JoinAs(relaytest.Who{Name: "slow", Deaf: true})
		start := time.Now()
		if err := slow.Ended(); !errors.Is(err, relay.ErrWriteTimeout) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took > 68*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

// A peer that does not take its ServerInfo is closed as well.
func TestPeerThatTakesNoServerInfoIsClosed(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		slow := r.Dial(relaytest.Who{Name: "slow"})
		slow.ExpectGreeting()
		slow.Send(regular(slow))
		start := time.Now()
		if err := slow.Ended(); !errors.Is(err, relay.ErrWriteTimeout) {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took <= 2*time.Second || took > 3*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

// A slow peer is not a dead one: it stays as long as it takes something.
func TestPeerThatTakesALittleStays(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice, slow := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "slow", Deaf: true})
		for range 40 {
			alice.Send(derp.AppendSendPacket(nil, slow.Public(), make([]byte, 10_000)))
			synctest.Wait()
		}
		for range 18 {
			time.Sleep(time.Second)
			slow.Skip(17_000)
		}
		if !slow.IsServed() {
			t.Errorf("closed: %v", slow.Ended())
		}
		if s := r.Survey(); s.Sent.Other.Packets == 40 {
			t.Error("the peer was not slow")
		}
	})
}

// What waited too long is dropped, the oldest first; what is fresh arrives.
func TestOldPacketsAreDropped(t *testing.T) {
	for name, packet := range map[string]func(string) []byte{
		"other": func(text string) []byte { return []byte(text) }, "disco": disco,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				alice, slow := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "slow", Deaf: true})
				// One packet every 50 ms for 1.5 s; the first one is on its way at once.
				for n := range 31 {
					alice.Send(derp.AppendSendPacket(nil, slow.Public(), packet(fmt.Sprintf("%02d", n))))
					time.Sleep(50 * time.Millisecond)
				}
				slow.Listen()
				frames, _ := slow.Frames()
				var got []string
				for _, f := range frames {
					got = append(got, string(f.Payload[len(f.Payload)-2:]))
				}
				if len(got) == 0 || got[0] != "00" || got[len(got)-1] != "30" {
					t.Fatalf("got %q", got)
				}
				// 500 ms are ten packets; a quarter more is allowed.
				if n := len(got) - 1; n < 10 || n > 13 {
					t.Errorf("of 1.5 s, the last %d packets arrived, want those of 500 ms: %q", n, got)
				}
				s := r.Survey()
				of := s.Dropped["queue_age"]
				if n := of.Disco.Packets + of.Other.Packets; int(n) != 31-len(got) {
					t.Errorf("%d packets counted as too old, want %d", n, 31-len(got))
				}
				r.CheckSums()
			})
		})
	}
}

func TestAgeLimitCanBeOff(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1, WriteTimeout: -1}, func(t *testing.T, r *relaytest.Relay) {
		alice, slow := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "slow", Deaf: true})
		alice.SendPacket(slow.Public(), "1")
		synctest.Wait()
		alice.SendPacket(slow.Public(), "2")
		time.Sleep(30 * time.Second)
		slow.Listen()
		slow.Expect(`RecvPacket(src=alice,"1")`, `RecvPacket(src=alice,"2")`)
	})
}

// Discovery passes data that waits, and data is not held up by it for good.
func TestDiscoGoesFirstWithinBounds(t *testing.T) {
	inBubble(t, relay.Config{OutboxAge: -1, OutboxBytes: 4 << 20}, func(t *testing.T, r *relaytest.Relay) {
		alice, slow := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "slow", Deaf: true})
		send := func(packet []byte) {
			alice.Send(derp.AppendSendPacket(nil, slow.Public(), packet))
			synctest.Wait()
		}
		send([]byte("on its way"))
		for range 100 {
			send(bytes.Repeat([]byte("data"), 350))
		}
		for range 500 {
			send(disco("1234567890"))
		}
		slow.Listen()
		frames, _ := slow.Frames()
		if len(frames) != 601 {
			t.Fatalf("%d packets arrived, want 601", len(frames))
		}
		var order []bool // whether the packets were disco
		for _, f := range frames[1:] {
			order = append(order, derp.IsDisco(f.Payload[derp.KeyLen:]))
		}
		if !order[0] {
			t.Error("data went in front of the discovery packets that waited")
		}
		seen, last := 0, 0
		for i, isDisco := range order {
			if isDisco {
				seen, last = seen+1, i
			}
			if seen == 500 {
				break
			}
		}
		if data := last + 1 - seen; data == 0 {
			t.Error("all discovery packets went in front of the first data")
		}
	})
}

// A peer that does not read loses its own packets, nobody else's.
func TestSlowPeerDelaysNobody(t *testing.T) {
	inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		slow := r.JoinAs(relaytest.Who{Name: "slow", Deaf: true})
		start := time.Now()
		for n := range 500 {
			text := fmt.Sprint(n)
			alice.Send(derp.AppendSendPacket(nil, slow.Public(), make([]byte, 9000)), derp.AppendSendPacket(nil, bob.Public(), []byte(text)))
			bob.Expect(fmt.Sprintf("RecvPacket(src=alice,%q)", text))
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		s := r.Survey()
		if s.Dropped["queue_head"].Other.Packets == 0 || s.Queued*9000 > 512<<10+64<<10 {
			t.Errorf("%d packets queued for the slow peer, %+v dropped", s.Queued, s.Dropped["queue_head"])
		}
		r.CheckSums()
	})
}

// A packet larger than the whole outbox has no place in it.
func TestPacketLargerThanTheOutbox(t *testing.T) {
	inBubble(t, relay.Config{OutboxBytes: 1000}, func(t *testing.T, r *relaytest.Relay) {
		alice, bob := r.Join("alice"), r.Join("bob")
		alice.Send(derp.AppendSendPacket(nil, bob.Public(), make([]byte, 964)), derp.AppendSendPacket(nil, bob.Public(), make([]byte, 963)))
		bob.Expect("RecvPacket(src=alice,963 bytes)")
		if n := r.Survey().Dropped["queue_tail"].Other.Packets; n != 1 {
			t.Errorf("%d packets counted as dropped, want 1", n)
		}
	})
}

// A sender whose packets overflow an outbox is read more slowly, others are not.
func TestOverflowingSenderIsReadMoreSlowly(t *testing.T) {
	inBubble(t, relay.Config{OutboxBytes: 10_000, OutboxAge: -1, WriteTimeout: -1}, func(t *testing.T, r *relaytest.Relay) {
		flooder, alice, bob := r.Join("flooder"), r.Join("alice"), r.Join("bob")
		sibling := r.JoinAs(relaytest.Who{Name: "sibling", Mesh: true})
		deaf := r.JoinAs(relaytest.Who{Name: "deaf", Deaf: true})
		burst := derp.AppendSendPacket(nil, deaf.Public(), make([]byte, 1000))
		took := func(from *relaytest.Peer, burst []byte) time.Duration {
			began := time.Now()
			for range 50 {
				from.Send(burst) // waits until the burst before is done with
			}
			return time.Since(began)
		}
		if d := took(flooder, burst); d < 50*time.Millisecond || d > 250*time.Millisecond {
			t.Errorf("50 bursts took %v, want some 4 ms for each that overflows", d)
		}
		if d := took(alice, derp.AppendSendPacket(nil, bob.Public(), []byte("hi"))); d != 0 {
			t.Errorf("a sender to somebody else was slowed down by %v", d)
		}
		if d := took(sibling, derp.AppendForwardPacket(nil, alice.Public(), deaf.Public(), make([]byte, 1000))); d != 0 {
			t.Errorf("a sibling was slowed down by %v", d)
		}
	})
}
