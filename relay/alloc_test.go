//go:build !race

package relay

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// The race detector makes sync.Pool forget things at random, so allocations are
// counted without it.

func TestPacketsAllocateNothing(t *testing.T) {
	disco := append([]byte("TS💬"), make([]byte, 56)...)
	for name, c := range map[string]struct {
		cfg     Config
		sibling bool
		burst   func(s *Server) []byte
	}{
		"one peer":          {burst: func(s *Server) []byte { return burstTo(peersOf(s, 1), 40, 1400) }},
		"one packet":        {burst: func(s *Server) []byte { return burstTo(peersOf(s, 1), 1, 1400) }},
		"100 peers":         {burst: func(s *Server) []byte { return burstTo(peersOf(s, 100), 400, 100) }},
		"empty packets":     {burst: func(s *Server) []byte { return burstTo(peersOf(s, 3), 500, 0) }},
		"large packets":     {burst: func(s *Server) []byte { return burstTo(peersOf(s, 2), 2, derp.MaxPacket) }},
		"nobody":            {burst: func(s *Server) []byte { return burstTo([]key.Public{numbered(1)}, 40, 1400) }},
		"dropped at a head": {cfg: Config{OutboxBytes: 5000}, burst: func(s *Server) []byte { return burstTo(peersOf(s, 1), 40, 1400) }},
		"dropped for memory": {cfg: Config{OutboxMemory: 20 << 10}, burst: func(s *Server) []byte {
			peers := peersOf(s, 1)
			s.routes.lookup(&peers[0]).conns[0].out.box.FallBehind(&s.outboxes, true)
			return burstTo(peers, 40, 1400)
		}},
		"disco": {burst: func(s *Server) (burst []byte) {
			for range 40 {
				burst = derp.AppendSendPacket(burst, peersOf(s, 1)[0], disco)
			}
			return burst
		}},
		"forwarded": {sibling: true, burst: func(s *Server) (burst []byte) {
			for _, k := range peersOf(s, 30) {
				burst = derp.AppendForwardPacket(burst, numbered(1), k, make([]byte, 1400))
			}
			return burst
		}},
		"forwarded from many to one": {sibling: true, burst: func(s *Server) (burst []byte) {
			to := peersOf(s, 1)[0]
			for n := range 40 {
				burst = derp.AppendForwardPacket(burst, numbered(1000+n), to, make([]byte, 1400))
			}
			return burst
		}},
		"to a sibling": {burst: func(s *Server) (burst []byte) {
			for _, k := range announcedBy(s, 30) {
				burst = derp.AppendSendPacket(burst, k, make([]byte, 1400))
			}
			return burst
		}},
		"forwarded for known peers": {sibling: true, burst: func(s *Server) (burst []byte) {
			from := announcedBy(s, 30)
			for i, k := range peersOf(s, 30) {
				burst = derp.AppendForwardPacket(burst, from[i], k, make([]byte, 1400))
			}
			return burst
		}},
		"Pings":          {burst: func(*Server) []byte { return derp.AppendPing(nil, [8]byte{}) }},
		"unknown frames": {burst: func(*Server) []byte { return append(derp.AppendHeader(nil, 0x99, 100), make([]byte, 100)...) }},
	} {
		for limits, rules := range map[string]LimitRules{
			"": {}, ", limited": {Keys: Limits{In: 1e11, Out: 1e11}, Total: 1e11}, ", at their limits": {Keys: Limits{In: 8000, Out: 8000}, Total: 8000},
		} {
			t.Run(name+limits, func(t *testing.T) {
				s := newTestServer(t, c.cfg)
				from, _ := join(s, numbered(0))
				from.sibling = c.sibling
				burst := c.burst(s)
				s.SetLimits(rules)
				if got := from.limits.Key() != nil; got != (limits != "" && !c.sibling) {
					t.Fatalf("limited: %v", got)
				}
				allocs := testing.AllocsPerRun(100, func() {
					if used, err := from.ingest(burst); used != len(burst) || err != nil && err != errRest {
						t.Fatalf("used %d of %d bytes: %v", used, len(burst), err)
					}
				})
				if allocs != 0 {
					t.Errorf("%v allocations per burst", allocs)
				}
			})
		}
	}
}

// Who asks every second, as the page does, leaves nothing to collect.
func TestCountersAreReadWithoutMemory(t *testing.T) {
	s := newTestServer(t, Config{})
	from, _ := join(s, numbered(0))
	var c Counters
	s.ReadCounters(&c)
	if _, err := from.ingest(burstTo([]key.Public{numbered(1)}, 40, 1400)); err != nil {
		t.Fatal(err)
	}
	if allocs := testing.AllocsPerRun(100, func() { s.ReadCounters(&c) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if want := s.Counters(); !reflect.DeepEqual(c, want) || c.Dropped["unknown_dest"].Other.Packets != 40 {
		t.Errorf("%+v, want %+v", c, want)
	}
}

// A conn takes 640 bytes, eight of which the allocator has for itself, and a route a cache
// line of its own: each idle peer has one of both.
func TestPeersStaySmall(t *testing.T) {
	if size := unsafe.Sizeof(conn{}); size > 640-8 {
		t.Errorf("a conn has %d bytes", size)
	}
	if size := unsafe.Sizeof(route{}); size > 128 {
		t.Errorf("a route has %d bytes", size)
	}
}
