package acme

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// answers are those to challenges that are under way: of this process, which knows
// them, and of other relays of the name, which have stored them.
type answers struct {
	store store
	names []string // what may be asked for

	mu   sync.Mutex
	asks map[string]*answer // by what authorities call the name, guarded by mu
}

// An answer is given as long as the challenge is under way.
type answer struct {
	challenge acme.Challenge
	pair      *tls.Certificate // of ALPN
}

func newAnswers(s store, names []string) *answers {
	return &answers{store: s, names: names, asks: make(map[string]*answer)}
}

// calledBy is what an authority calls a name when it asks at port 443: an address has
// the name that the DNS has for it (RFC 8738, 6).
func calledBy(name string) string {
	ip, err := netip.ParseAddr(name)
	if err != nil {
		return strings.ToLower(strings.TrimSuffix(name, "."))
	}
	return reverse(ip.Unmap())
}

// reverse is an address as the DNS has it.
func reverse(ip netip.Addr) string {
	var labels []string
	zone := "in-addr.arpa"
	for _, b := range ip.AsSlice() {
		if ip.Is4() {
			labels = append(labels, fmt.Sprint(b))
		} else {
			labels = append(labels, fmt.Sprintf("%x", b>>4), fmt.Sprintf("%x", b&15))
		}
	}
	if ip.Is6() {
		zone = "ip6.arpa"
	}
	slices.Reverse(labels)
	return strings.Join(append(labels, zone), ".")
}

// Present implements acmez.Solver: it answers from now on.
func (a *answers) Present(ctx context.Context, c acme.Challenge) error {
	made := &answer{challenge: c}
	if c.Type == acme.ChallengeTypeTLSALPN01 {
		pair, err := acmez.TLSALPN01ChallengeCert(c)
		if err != nil {
			return err
		}
		made.pair = pair
	}
	name := calledBy(c.Identifier.Value)
	if err := a.store.keepChallenge(ctx, name, c); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asks[name] = made
	return nil
}

// CleanUp implements acmez.Solver: the authority has asked.
func (a *answers) CleanUp(ctx context.Context, c acme.Challenge) error {
	name := calledBy(c.Identifier.Value)
	a.mu.Lock()
	delete(a.asks, name)
	a.mu.Unlock()
	return a.store.forgetChallenge(context.WithoutCancel(ctx), name)
}

// find returns what is to be answered to who asks for a name, as authorities call it.
// Nobody has the storage looked at for names that are not ours.
func (a *answers) find(ctx context.Context, called string) (*answer, error) {
	called = strings.ToLower(strings.TrimSuffix(called, "."))
	a.mu.Lock()
	here := a.asks[called]
	a.mu.Unlock()
	if here != nil {
		return here, nil
	}
	if !slices.ContainsFunc(a.names, func(name string) bool { return calledBy(name) == called }) {
		return nil, fmt.Errorf("an authority asks for %q, which is not a name of this relay", called)
	}
	c, err := a.store.challenge(ctx, called)
	if err != nil {
		return nil, err
	}
	return &answer{challenge: c}, nil
}

// certificate is what an authority is shown that asks at port 443.
func (a *answers) certificate(ctx context.Context, called string) (*tls.Certificate, error) {
	found, err := a.find(ctx, called)
	switch {
	case err != nil:
		return nil, err
	case found.pair != nil:
		return found.pair, nil
	case found.challenge.Type != acme.ChallengeTypeTLSALPN01:
		return nil, fmt.Errorf("an authority asks for %s in another way than it was told", called)
	}
	return acmez.TLSALPN01ChallengeCert(found.challenge)
}

// challengePath is what authorities ask for at port 80.
const challengePath = "/.well-known/acme-challenge/"

// ServeChallenge answers an authority that asks at port 80. It reports whether that was
// one whose question is known; nothing was written if not.
func (s *Source) ServeChallenge(w http.ResponseWriter, r *http.Request) bool {
	token, ok := strings.CutPrefix(r.URL.Path, challengePath)
	if !ok || token == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	found, err := s.answers.find(r.Context(), calledBy(strings.Trim(host, "[]")))
	if err != nil || found.challenge.Type != acme.ChallengeTypeHTTP01 || found.challenge.Token != token {
		return false
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(found.challenge.KeyAuthorization)) // who has left asks again
	return true
}
