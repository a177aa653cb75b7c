package acme

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/retry"
)

const (
	// What an authority has not said otherwise about is renewed in the last third of its
	// life, and what lives for some days in the last half: there has to be time for a
	// few tries that fail.
	shortLife  = 10 * 24 * time.Hour
	renewLast  = 3
	renewShort = 2

	// An authority may say otherwise, but not later than in the last sixth, nor sooner than
	// after the first sixth, or a day: one that says of each new certificate that it is to be
	// renewed would be asked in a circle.
	latestLast = 6
	soonest    = 24 * time.Hour

	// infoEvery is how often it is asked when to renew (RFC 9773), unless it says how often.
	infoEvery = 6 * time.Hour

	// Waits between tries. Let's Encrypt allows five failed ones an hour for each name; what
	// never got there is not counted, and may end any moment.
	refusedFirst, refusedMost = 3 * time.Minute, 6 * time.Hour
	awayFirst, awayMost       = 20 * time.Second, 15 * time.Minute
)

// A wanted is one certificate that is to be had.
type wanted struct {
	names         []string // set once, as are these
	profile       string
	away, refused retry.Backoff // before the first failure

	pair atomic.Pointer[tls.Certificate] // nil: there is none yet

	// Owned by Run.
	text    []byte    // what pair was made from
	unkept  bool      // the storage does not have it
	renewAt time.Time // of pair
	ask     time.Time // when the authority is asked about that again
	past    past      // of tries to get one
	anew    bool      // a person wants a try, whatever others remember of those before
	failed  error     // the last try
	unread  error     // why what is stored was of no use
	told    string
	toldAt  time.Time
}

// sort makes a wanted of all DNS names and one of all addresses.
func sort(c Config) (all []*wanted) {
	var names, addresses []string
	for _, name := range c.Names {
		if _, err := netip.ParseAddr(name); err == nil {
			addresses = append(addresses, name)
		} else {
			names = append(names, name)
		}
	}
	for _, group := range []struct {
		names   []string
		profile string
	}{{names, c.Profile}, {addresses, orShort(c.Profile)}} {
		if len(group.names) > 0 {
			w := &wanted{names: group.names, profile: group.profile}
			w.away = retry.Backoff{First: orDefault(c.First, awayFirst), Most: orDefault(c.Most, awayMost)}
			w.refused = retry.Backoff{First: orDefault(c.First, refusedFirst), Most: orDefault(c.Most, refusedMost)}
			w.past.Of = c.fingerprint(w)
			all = append(all, w)
		}
	}
	return all
}

func orShort(profile string) string {
	if profile == "" {
		return shortLived
	}
	return profile
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// text names it for people.
func (w *wanted) String() string { return strings.Join(w.names, ", ") }

// fits reports whether the pair is for a peer that asks for the name; empty: it names
// nothing, as peers do that connect to an address.
func (w *wanted) fits(pair *tls.Certificate, name string) bool {
	if name == "" {
		_, err := netip.ParseAddr(w.names[0])
		return err == nil
	}
	return pair.Leaf.VerifyHostname(name) == nil
}

// use shows a pair from now on.
func (w *wanted) use(pair *tls.Certificate, text []byte) {
	w.text, w.unkept, w.renewAt, w.ask = text, false, w.renewal(pair.Leaf), time.Time{}
	w.pair.Store(pair)
}

// renewal is when a pair is to be renewed, without a word of the authority. One that
// does not have all names is due at once.
func (w *wanted) renewal(leaf *x509.Certificate) time.Time {
	for _, name := range w.names {
		if leaf.VerifyHostname(name) != nil {
			return time.Time{}
		}
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if life < shortLife {
		return leaf.NotAfter.Add(-life / renewShort)
	}
	return leaf.NotAfter.Add(-life / renewLast)
}

// suggest takes what the authority says about when to renew.
func (w *wanted) suggest(leaf *x509.Certificate, at time.Time) {
	if w.renewAt.IsZero() { // it lacks a name
		return
	}
	sixth := leaf.NotAfter.Sub(leaf.NotBefore) / latestLast
	first, last := leaf.NotBefore.Add(min(sixth, soonest)), leaf.NotAfter.Add(-sixth)
	switch w.renewAt = at; {
	case at.Before(first):
		w.renewAt = first
	case at.After(last):
		w.renewAt = last
	}
}

// due reports whether another one is to be had now.
func (w *wanted) due(now time.Time) bool { return w.pair.Load() == nil || !now.Before(w.renewAt) }

// parse reads a pair as it is stored: the key, then the chain.
func parse(text []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("not a certificate with its key: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &pair, nil
}

// check says why peers would refuse what an authority has issued.
func (w *wanted) check(pair *tls.Certificate) error {
	for _, name := range w.names {
		if err := certs.CheckLeaf(pair.Leaf, name, time.Now()); err != nil {
			return err
		}
	}
	return nil
}
