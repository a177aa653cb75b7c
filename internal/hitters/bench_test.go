package hitters

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

// One look every five seconds, at 20,000 conns, some of which have used something. What the
// relay takes to say how each is comes besides (BenchmarkLookAtARelay).
func BenchmarkLook(b *testing.B) {
	for _, active := range []int{0, 1000, 20000} {
		b.Run(fmt.Sprint(active), func(b *testing.B) {
			all := make([]relay.PeerState, 20000)
			for i := range all {
				addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
				all[i] = relay.PeerState{ID: uint64(i + 1), Peer: peerKey(uint64(i)), Addr: netip.AddrPortFrom(addr, 1), AppName: fmt.Sprint("app ", i%10), Received: 1}
			}
			h := New()
			look := func() {
				for i := range active {
					all[i].Received += uint64(i)
				}
				h.Look(func(yield func(relay.PeerState) bool) {
					for _, p := range all {
						if !yield(p) {
							return
						}
					}
				})
			}
			look()
			b.ReportAllocs()
			for b.Loop() {
				look()
			}
		})
	}
}

// The same with conns of a relay, all of which use something between two looks.
func BenchmarkLookAtARelay(b *testing.B) {
	const conns = 2000
	r := relaytest.New(b, relay.Config{})
	peers := make([]*relaytest.Peer, conns)
	for i := range peers {
		peers[i] = r.Join(fmt.Sprint(i))
	}
	h := New()
	h.Look(r.Server.Peers)
	b.ReportAllocs()
	for b.Loop() {
		h.Look(r.Server.Peers)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/conns, "ns/conn")
}

// A page asks for it every few seconds.
func BenchmarkSnapshot(b *testing.B) {
	c := newCrowd()
	for n := range 1000 {
		c.join(relay.PeerState{AppName: fmt.Sprint(n), Group: fmt.Sprint(n), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}), 1)})
	}
	for range 26 {
		for id := range c.conns {
			c.use(id, id, id)
		}
		c.look()
		for _, l := range c.h.levels { // as if a day had passed
			l.parts = append(l.parts, l.now.finish(c.h.looked, c.h.looked))
			if len(l.parts) > 12 {
				l.parts = l.parts[1:]
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		c.h.current = nil
		c.h.Snapshot()
	}
}
