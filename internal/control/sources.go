package control

import (
	"net"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/rate"
)

// mostSources bounds a table of addresses, some 100 bytes each.
const mostSources = 4096

// sources has a bucket for each address that took something lately. Those for which
// there is no room are not limited. One goroutine at a time uses it.
type sources struct {
	each    rate.Limit
	buckets map[netip.Addr]*rate.Bucket
}

func newSources(each rate.Limit) sources {
	return sources{each, make(map[netip.Addr]*rate.Bucket)}
}

// take takes a token of an address, if there is one. The time is that since any fixed
// moment.
func (s *sources) take(from netip.Addr, now time.Duration) bool {
	b := s.buckets[from]
	if b == nil {
		if len(s.buckets) >= mostSources {
			s.forget(now)
		}
		if len(s.buckets) >= mostSources {
			return true
		}
		b = new(rate.Bucket)
		s.buckets[from] = b
	}
	return b.Take(s.each, 1, now)
}

// has reports whether take would.
func (s *sources) has(from netip.Addr, now time.Duration) bool {
	b := s.buckets[from]
	if b == nil {
		return true
	}
	look := *b
	return look.Take(s.each, 1, now)
}

// forget drops the addresses that have all their tokens again.
func (s *sources) forget(now time.Duration) {
	for from, b := range s.buckets {
		if full := *b; full.Take(s.each, int(s.each.Burst), now) {
			delete(s.buckets, from)
		}
	}
}

// addrOf is whom a connection counts for: an IPv4 address, or a /64 of IPv6, for who
// has one of these has all of them. That of a unix socket is not valid.
func addrOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		prefix, _ := ip.Prefix(64)
		return prefix.Addr()
	}
	return ip
}
