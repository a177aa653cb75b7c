package relay_test

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

func unknownFrame(size int) []byte {
	return append(derp.AppendHeader(nil, 0x99, size), make([]byte, size)...)
}

// A frame that a peer begins must be complete in 30 s, however it is begun. What
// comes in time harms nobody, however slowly.
func TestBegunFramesMustBeCompleted(t *testing.T) {
	type piece struct {
		after time.Duration
		bytes []byte
	}
	packet := derp.AppendSendPacket(nil, relaytest.Key("bob").Public(), make([]byte, 60_000))
	unknown := unknownFrame(60_000)
	trickle := func(frame []byte, pieces int, every time.Duration) (ps []piece) {
		for i := range pieces {
			ps = append(ps, piece{every, frame[i*len(frame)/pieces : (i+1)*len(frame)/pieces]})
		}
		return ps
	}
	chain := func(frame []byte, times int) (ps []piece) { // the end of one with the beginning of the next
		ps = append(ps, piece{0, frame[:len(frame)/2]})
		for range times {
			next := append([]byte{}, frame[len(frame)/2:]...)
			ps = append(ps, piece{20 * time.Second, append(next, frame[:len(frame)/2]...)})
		}
		return append(ps, piece{20 * time.Second, frame[len(frame)/2:]})
	}
	for name, c := range map[string]struct {
		pieces []piece
		stays  bool
	}{
		"one byte":                   {[]piece{{0, packet[:1]}}, false},
		"a header but for a byte":    {[]piece{{0, packet[:4]}}, false},
		"a header":                   {[]piece{{0, packet[:5]}}, false},
		"a packet but for a byte":    {[]piece{{0, packet[:len(packet)-1]}}, false},
		"a Ping, then part of one":   {[]piece{{0, append(ping("ABCDEFGH"), ping("ABCDEFGH")[:9]...)}}, false},
		"part of an ignored frame":   {[]piece{{0, unknown[:100]}}, false},
		"header of an ignored frame": {[]piece{{0, unknown[:5]}}, false},
		"a packet, a byte a second":  {trickle(packet, 100, time.Second), false},
		"an ignored frame likewise":  {trickle(unknown, 100, time.Second), false},
		"both, then silence":         {[]piece{{0, append(append([]byte{}, unknown...), packet[:50]...)}}, false},
		"nothing":                    {nil, true},
		"a packet in 28 s":           {trickle(packet, 28, time.Second), true},
		"an ignored frame in 28 s":   {trickle(unknown, 28, time.Second), true},
		"packets, always one begun":  {chain(packet, 10), true},
		"Pings, always one begun":    {chain(ping("ABCDEFGH"), 10), true},
		"ignored, always one begun":  {chain(unknown, 10), true},
		"empty frames":               {[]piece{{0, unknownFrame(0)}, {time.Minute, unknownFrame(0)}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, relay.Config{}, func(t *testing.T, r *relaytest.Relay) {
				r.Join("bob")
				alice := r.Join("alice")
				for _, p := range c.pieces {
					time.Sleep(p.after)
					if _, err := alice.Conn.Write(p.bytes); err != nil {
						break // the relay has had enough
					}
				}
				synctest.Wait()
				begun := time.Now()
				if c.stays {
					time.Sleep(10 * time.Minute)
					if !alice.IsServed() {
						t.Error("closed:", alice.Ended())
					}
					return
				}
				if err := alice.Ended(); !errors.Is(err, relay.ErrFrameTimeout) {
					t.Errorf("ended with %v", err)
				}
				if took := time.Since(begun); len(c.pieces) == 1 && (took < 30*time.Second || took > 32*time.Second) {
					t.Errorf("ended after %v", took)
				}
			})
		})
	}
}

// served returns how many are left; the others must have run out of time.
func served(t *testing.T, peers []*relaytest.Peer) (n int) {
	t.Helper()
	for _, p := range peers {
		if p.IsServed() {
			n++
		} else if err := p.Ended(); !errors.Is(err, relay.ErrFrameTimeout) {
			t.Errorf("ended with %v", err)
		}
	}
	return n
}

// A recording is a stream with records that no frame is to be seen of.
type recording struct {
	relay.Stream
	begun  atomic.Int32
	handle func([]byte) (int, error)
}

func (r *recording) Begun() int { return int(r.begun.Load()) }

func (r *recording) ReadBursts(handle func([]byte) (int, error)) error {
	r.handle = handle
	return r.Stream.ReadBursts(handle)
}

// has is what the stream does when it has so much of a record. Its reader waits.
func (r *recording) has(bytes int32) {
	synctest.Wait()
	r.begun.Store(bytes)
	r.handle(nil)
}

// A record must be complete in 30 s as well, and counts in the total.
func TestBegunRecordsMustBeCompleted(t *testing.T) {
	const total, each = 1 << 20, 16 << 10
	inBubble(t, relay.Config{OutboxMemory: total}, func(t *testing.T, r *relaytest.Relay) {
		var streams []*recording
		var peers []*relaytest.Peer
		for n := range 2 + total/4/each {
			near, far := net.Pipe()
			s := &recording{Stream: netio.Blocking(far, nil)}
			p := r.DialOver(relaytest.Who{Name: fmt.Sprint("peer", n)}, near, s)
			p.Login()
			streams, peers = append(streams, s), append(peers, p)
		}
		left := func() int { return served(t, peers) }
		streams[0].has(each)
		streams[1].has(each)
		time.Sleep(25 * time.Second)
		streams[1].has(0)
		time.Sleep(10 * time.Second)
		if peers[0].IsServed() || left() != len(peers)-1 {
			t.Fatalf("%d of %d are left, with half a record of one", left(), len(peers))
		}
		for _, s := range streams[1:] {
			s.has(each)
			time.Sleep(time.Second)
		}
		if peers[1].IsServed() || left() != total/4/each {
			t.Errorf("%d are left that hold %d each, of %d in all", left(), each, total/4)
		}
		time.Sleep(time.Minute)
		if left() != 0 {
			t.Errorf("%d are left after a minute", left())
		}
	})
}

// What has come of incomplete frames has a total: those that were begun first are given up.
func TestBegunFramesHaveATotal(t *testing.T) {
	const total, each, batch = 4 << 20, 60_000, 20
	inBubble(t, relay.Config{OutboxMemory: total}, func(t *testing.T, r *relaytest.Relay) {
		frame := derp.AppendSendPacket(nil, relaytest.Key("bob").Public(), make([]byte, each))
		var begun [2][]*relaytest.Peer
		for i := range begun {
			for n := range batch {
				p := r.Join(fmt.Sprint("peer", i, n))
				p.Conn.Write(frame[:len(frame)-1])
				begun[i] = append(begun[i], p)
			}
			time.Sleep(2 * time.Second)
		}
		if old, young := served(t, begun[0]), served(t, begun[1]); old != 0 || young != total/4/len(frame) {
			t.Errorf("of %d each, %d are left that began first, and %d of the others", batch, old, young)
		}
		time.Sleep(time.Minute)
		if left := served(t, begun[1]); left != 0 {
			t.Errorf("%d are left after a minute", left)
		}
	})
}

// What is queued towards a peer that takes nothing is dropped when it is too old,
// although nobody pushes and nobody takes.
func TestStalePacketsAreDroppedWithoutAPush(t *testing.T) {
	for _, disco := range []bool{false, true} {
		t.Run(fmt.Sprint("disco ", disco), func(t *testing.T) {
			inBubble(t, relay.Config{WriteTimeout: -1}, func(t *testing.T, r *relaytest.Relay) {
				alice, deaf := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "deaf", Deaf: true})
				for range 100 {
					packet := make([]byte, 1000)
					if disco {
						copy(packet, "TS💬")
					}
					alice.Send(derp.AppendSendPacket(nil, deaf.Public(), packet))
					synctest.Wait() // the first is in the hands of the stream
				}
				queued := r.Survey().Queued
				if queued < 99 {
					t.Fatalf("%d packets queued", queued)
				}
				time.Sleep(2 * time.Second)
				s := r.Survey()
				of := s.Dropped["queue_age"]
				if dropped := of.Disco.Packets + of.Other.Packets; s.Queued > 20 || int64(dropped)+s.Queued != queued {
					t.Errorf("%d packets still queued, %d dropped for their age", s.Queued, dropped)
				}
				r.CheckSums()
			})
		})
	}
}
