package measure

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// Constants of spec section 1.9.
const (
	portalDelay    = 200 * time.Millisecond
	portalPatience = 3 * time.Second
	portalAsked    = 5 // relays at most
	noCache        = "no-cache, no-store, must-revalidate, no-transform, max-age=0"
)

// portalSearch looks whether what answers on port 80 of relays is not the relays.
type portalSearch struct {
	forget context.CancelFunc // UDP works, so nothing is in the way
	found  atomic.Bool
	done   chan struct{}
}

func (s *portalSearch) wait() bool {
	<-s.done
	s.forget()
	return s.found.Load()
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
			s.found.Store(r.portalBefore(ctx, hosts))
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

// portalBefore asks all hosts at once, and reports whether something else answered for one of them.
func (r *run) portalBefore(ctx context.Context, hosts []string) bool {
	transport := &http.Transport{DialContext: r.cfg.DialContext, DisableKeepAlives: true}
	client := &http.Client{
		Transport:     transport,
		Timeout:       portalPatience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answers := make(chan bool)
	for _, host := range hosts {
		go func() { answers <- isPortal(ctx, client, host) }()
	}
	found := false
	for range hosts {
		found = <-answers || found
	}
	return found
}

// isPortal reports whether the answer is not one of a relay. No answer is none.
func isPortal(ctx context.Context, client *http.Client, host string) bool {
	address := "http://" + net.JoinHostPort(host, "80") + "/generate_204?t=" + strconv.FormatInt(time.Now().Unix(), 10)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false
	}
	request.Host = host
	challenge := "ts_" + host
	request.Header.Set("Cache-Control", noCache)
	request.Header.Set("X-Tailscale-Challenge", challenge)
	answer, err := client.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode != http.StatusNoContent || answer.Header.Get("X-Tailscale-Response") != "response "+challenge
}
