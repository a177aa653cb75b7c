package coord

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

// Limits bound what others can ask for. Zero fields: what DefaultLimits has.
type Limits struct {
	Source  rate.Limit // challenges, joins and logins of an address (IPv6: of a /64)
	Total   rate.Limit // joins and logins of all together who are no members and have no invite
	Member  rate.Limit // calls of a member with its session, and streams that it opens
	Relay   rate.Limit // questions of a source about who is a member
	Streams int        // at once, of all
	Sources int        // that are remembered
}

// DefaultLimits are those that are not given.
func DefaultLimits() Limits {
	return Limits{
		Source: rate.Limit{PerSecond: 20, Burst: 200}, Total: rate.Limit{PerSecond: 2000, Burst: 8000},
		Member: rate.Limit{PerSecond: 5, Burst: 40}, Relay: rate.Limit{PerSecond: 5000, Burst: 20000},
		Streams: 100_000, Sources: 100_000,
	}
}

func (l Limits) orDefaults() Limits {
	d := DefaultLimits()
	for _, p := range []struct{ given, usual *rate.Limit }{{&l.Source, &d.Source}, {&l.Total, &d.Total}, {&l.Member, &d.Member}, {&l.Relay, &d.Relay}} {
		if *p.given == (rate.Limit{}) {
			*p.given = *p.usual
		}
	}
	if l.Streams == 0 {
		l.Streams = d.Streams
	}
	if l.Sources == 0 {
		l.Sources = d.Sources
	}
	return l
}

// askers has a bucket for each who asks.
type askers struct {
	mu      sync.Mutex
	start   time.Time
	most    int
	limit   rate.Limit
	buckets map[[16]byte]*rate.Bucket
}

func newAskers(limit rate.Limit, most int) *askers {
	return &askers{start: time.Now(), most: most, limit: limit, buckets: map[[16]byte]*rate.Bucket{}}
}

// take reports whether somebody may ask. While all places are taken by those who ask
// often, nobody new may.
func (a *askers) take(who [16]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Since(a.start)
	b := a.buckets[who]
	if b == nil {
		if len(a.buckets) >= a.most && !a.sweep(now) {
			return false
		}
		b = &rate.Bucket{}
		a.buckets[who] = b
	}
	return b.Take(a.limit, 1, now)
}

// sweep forgets some of those whose buckets are full again: they are as new.
func (a *askers) sweep(now time.Duration) (room bool) {
	looked := 0
	for who, b := range a.buckets {
		if full := *b; full.Take(a.limit, int(a.limit.Burst), now) {
			delete(a.buckets, who)
			room = true
		}
		if looked++; looked >= 1024 && room || looked >= 16384 {
			break
		}
	}
	return room
}

// addressOf is the address of who asks, as the connection has it.
func addressOf(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(host)
	return a.Unmap().WithZone("")
}

func sourceOf(r *http.Request) [16]byte {
	a := addressOf(r)
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr().As16()
	}
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

func keyOf(k key.Public) (who [16]byte) {
	copy(who[:], k[:])
	return who
}

// strangers guards what anybody may call.
func (s *Service) strangers(f func(http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	return s.answer(func(w http.ResponseWriter, r *http.Request) (any, error) {
		if !s.sources.take(sourceOf(r)) {
			return nil, errTooMany()
		}
		return f(w, r)
	})
}

func errTooMany() error {
	return later(coordapi.CodeTooMany, "too many calls from this address, or of all: try again in a moment")
}
