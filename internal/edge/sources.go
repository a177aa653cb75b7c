package edge

import (
	"net"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/rate"
)

// arrivals limits new connections: those of all, and of them those of each
// address, so that one cannot use up what is meant for all.
type arrivals struct {
	all, each rate.Limit
	total     rate.Bucket
	sources   map[netip.Prefix]*rate.Bucket
	forgot    time.Duration // when the table was last gone through
}

const (
	// sourceParts is one source's part of the limit: one of so many.
	sourceParts = 4

	// mostSources bounds the table of sources, some 100 bytes each.
	mostSources = 8192
)

// arrives reports whether one more may come from an address now.
func (s *Server) arrives(from net.Addr, now *Config) bool {
	s.arriving.Lock()
	defer s.arriving.Unlock()
	s.arrivals = s.arrivals.as(now.AcceptPerSecond, now.AcceptBurst)
	return s.arrivals.take(from, time.Since(s.born))
}

func newArrivals(perSecond float64, burst int) *arrivals {
	return &arrivals{
		all:     rate.Limit{PerSecond: perSecond, Burst: float64(burst)},
		each:    rate.Limit{PerSecond: perSecond / sourceParts, Burst: max(1, float64(burst)/sourceParts)},
		sources: make(map[netip.Prefix]*rate.Bucket),
	}
}

// as returns arrivals with these limits: a itself, or if it has others, new ones.
func (a *arrivals) as(perSecond float64, burst int) *arrivals {
	if a != nil && a.all == (rate.Limit{PerSecond: perSecond, Burst: float64(burst)}) {
		return a
	}
	return newArrivals(perSecond, burst)
}

// take reports whether a connection from addr is within the limits. The time is
// that since any fixed moment.
func (a *arrivals) take(addr net.Addr, now time.Duration) bool {
	if a.all.PerSecond <= 0 {
		return true
	}
	if b := a.source(addr, now); b != nil && !b.Take(a.each, 1, now) {
		return false // without a token of all
	}
	return a.total.Take(a.all, 1, now)
}

// source returns the bucket of an address: one for an IPv4 address, and one for a
// /64 of IPv6, for who has one of these has all of them. It is nil, and only the
// total counts, for this machine, where a proxy may stand for everybody, and if
// there are too many sources.
func (a *arrivals) source(addr net.Addr, now time.Duration) *rate.Bucket {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || tcp.IP.IsLoopback() {
		return nil
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return nil
	}
	b := a.sources[prefix]
	if b == nil {
		if len(a.sources) >= mostSources && !a.forgets(now) {
			return nil
		}
		b = new(rate.Bucket)
		a.sources[prefix] = b
	}
	return b
}

// forgets drops the sources whose buckets are full again, once a second at most,
// and reports whether there is room now.
func (a *arrivals) forgets(now time.Duration) bool {
	if now-a.forgot < time.Second {
		return false
	}
	a.forgot = now
	for prefix, b := range a.sources {
		if full := *b; full.Take(a.each, int(a.each.Burst), now) {
			delete(a.sources, prefix)
		}
	}
	return len(a.sources) < mostSources
}
