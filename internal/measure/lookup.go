package measure

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/detour-relay/detour/internal/home"
)

type lookupFunc = func(ctx context.Context, network, host string) ([]netip.Addr, error)

// lookups asks for each name once in a report.
type lookups struct {
	mu    sync.Mutex
	asked map[name]*lookup // guarded by mu
}

type name struct {
	family home.Family
	host   string
}

// lookup has its answer when done is closed.
type lookup struct {
	done chan struct{}
	addr netip.Addr
	err  error
}

var errNoAddress = errors.New("no address of this family")

// addr returns the first address of a host. The first who asks looks it up for all.
func (l *lookups) addr(ctx context.Context, look lookupFunc, family home.Family, host string) (netip.Addr, error) {
	l.mu.Lock()
	if l.asked == nil {
		l.asked = make(map[name]*lookup)
	}
	answer, known := l.asked[name{family, host}]
	if !known {
		answer = &lookup{done: make(chan struct{})}
		l.asked[name{family, host}] = answer
	}
	l.mu.Unlock()
	if !known {
		answer.addr, answer.err = firstAddr(ctx, look, family, host)
		close(answer.done)
	}
	select {
	case <-answer.done:
		return answer.addr, answer.err
	case <-ctx.Done():
		return netip.Addr{}, ctx.Err()
	}
}

func firstAddr(ctx context.Context, look lookupFunc, family home.Family, host string) (netip.Addr, error) {
	network := "ip4"
	if family == home.IPv6 {
		network = "ip6"
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return ofFamily(family, addr)
	}
	addrs, err := look(ctx, network, host)
	if err != nil {
		return netip.Addr{}, err
	}
	return ofFamily(family, addrs...)
}

func ofFamily(family home.Family, addrs ...netip.Addr) (netip.Addr, error) {
	for _, addr := range addrs {
		if addr = addr.Unmap(); addr.Is4() == (family == home.IPv4) {
			return addr, nil
		}
	}
	return netip.Addr{}, errNoAddress
}
