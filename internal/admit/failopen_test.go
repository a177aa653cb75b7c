package admit

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/vouch"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// away is a URL that cannot be reached.
func away(context.Context, key.Public) (bool, error) {
	return false, &vouch.UnreachableError{Err: errors.New("connection refused")}
}

// openly makes a chain that fails open.
func openly(t *testing.T, cfg Config, n int) (*Chain, []*played) {
	t.Helper()
	c, sources := asking(t, cfg, n)
	r := *c.rules.Load()
	r.access.FailOpen = true
	c.rules.Store(&r)
	return c, sources
}

func TestStrangersComeInWhileAURLIsAway(t *testing.T) {
	failing := always(false, errors.New("status 500"))
	for name, c := range map[string]struct {
		url, daemon func(context.Context, key.Public) (bool, error)
		source      string
		why         Reason
	}{
		"away":                     {away, nil, SourceOpen, ""},
		"reached, no answer":       {failing, nil, SourceNone, Unanswered},
		"no":                       {always(false, nil), nil, SourceVerify, Denied},
		"yes":                      {always(true, nil), nil, SourceVerify, ""},
		"away, the daemon says no": {away, always(false, nil), SourceOpen, ""},
		"no, the daemon is away":   {always(false, nil), away, SourceNone, Unanswered},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 1
				if c.daemon != nil {
					n = 2
				}
				chain, sources := openly(t, Config{}, n)
				sources[0].say(c.url)
				if n == 2 {
					sources[1].say(c.daemon)
				}
				if source, why, _ := inTime(chain, k(1)); source != c.source || why != c.why {
					t.Errorf("%s %q, want %s %q", source, why, c.source, c.why)
				}
			})
		})
	}
}

// Who came in while the URL was away stays as long as it is, and a no ends that; so
// does an answer of no use.
func TestWhoCameInOpenlyIsAskedAboutAgain(t *testing.T) {
	for name, c := range map[string]struct {
		says func(context.Context, key.Public) (bool, error)
		ends bool
	}{
		"yes":        {always(true, nil), false},
		"no":         {always(false, nil), true},
		"status 500": {always(false, &vouch.StatusError{Status: http.StatusInternalServerError}), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(house)
				chain, sources := openly(t, Config{Peers: h}, 1)
				sources[0].say(away)
				running(t, chain)
				if source, _ := outcome(chain, applicant(k(1))); source != SourceOpen {
					t.Fatal(source)
				}
				h.join(relay.PeerState{Peer: k(1)})
				time.Sleep(3 * time.Hour)
				if h.left() != 1 {
					t.Fatalf("cut off while the URL is away: %v", h.ended(k(1)))
				}
				sources[0].say(c.says)
				time.Sleep(time.Minute)
				if (h.left() == 0) != c.ends {
					t.Errorf("%d connected, ended with %v", h.left(), h.ended(k(1)))
				}
			})
		})
	}
}

// Whoever comes and goes while the URL is away leaves nothing behind.
func TestWhoCameInOpenlyIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chain, sources := openly(t, Config{Peers: new(house)}, 1)
		sources[0].say(away)
		running(t, chain)
		for n := range 100 {
			outcome(chain, applicant(k(n)))
		}
		time.Sleep(2 * sparedFor)
		synctest.Wait()
		chain.revoking.state.Lock()
		defer chain.revoking.state.Unlock()
		if n := len(chain.revoking.spared); n != 0 {
			t.Errorf("%d are still to be asked about", n)
		}
	})
}
