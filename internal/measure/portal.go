package measure

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// Constants of spec section 1.9.
const (
	portalDelay   = 200 * time.Millisecond
	portalTimeout = 3 * time.Second
	portalAsked   = 5 // relays at most
)

// portalSearch looks whether what answers on port 80 of relays is not the relays.
type portalSearch struct {
	forget context.CancelFunc // UDP works, so nothing is in the way
	found  bool               // to be read when done is closed
	done   chan struct{}
}

func (s *portalSearch) wait() bool {
	<-s.done
	s.forget()
	return s.found
}

// lookForPortal begins a search, in a full report. It ends by itself.
func (r *run) lookForPortal(ctx context.Context) *portalSearch {
	ctx, cancel := context.WithCancel(ctx)
	s := &portalSearch{forget: cancel, done: make(chan struct{})}
	hosts := portalHosts(r.q)
	if !r.q.Full || len(hosts) == 0 {
		close(s.done)
		return s
	}
	go func() {
		defer close(s.done)
		delay := time.NewTimer(portalDelay)
		defer delay.Stop()
		select {
		case <-delay.C:
			s.found = r.portalBefore(ctx, hosts)
		case <-ctx.Done():
		}
	}()
	return s
}

// portalHosts returns the relays to ask: those of home first.
func portalHosts(q home.Questions) []string {
	var first, others []string
	for _, region := range q.Regions {
		if region.Avoid || region.NoMeasureNoHome {
			continue
		}
		for _, n := range region.Nodes {
			addr, err := netip.ParseAddr(n.IPv4)
			switch {
			case err != nil || !addr.Is4() || !n.CanPort80:
			case region.ID == q.Home:
				first = append(first, n.IPv4)
			default:
				others = append(others, n.IPv4)
			}
		}
	}
	hosts := append(first, others...)
	return hosts[:min(len(hosts), portalAsked)]
}

// portalBefore asks all hosts at once, and reports whether something else answers
// for one of them.
func (r *run) portalBefore(ctx context.Context, hosts []string) bool {
	ctx, cancel := context.WithTimeout(ctx, portalTimeout)
	defer cancel()
	var found atomic.Bool
	var all sync.WaitGroup
	for _, host := range hosts {
		all.Go(func() {
			if r.isPortal(ctx, host) {
				found.Store(true)
				cancel() // one is enough
			}
		})
	}
	all.Wait()
	return found.Load()
}
