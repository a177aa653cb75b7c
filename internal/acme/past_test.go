package acme

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/acme/acmetest"
	"github.com/detour-relay/detour/internal/retry"
)

// refusing has an authority refuse all that is asked, and counts.
func refusing(a *acmetest.Authority) *atomic.Int64 {
	n := new(atomic.Int64)
	a.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		if n.Add(1); r.Method != http.MethodPost {
			return false
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "not yours", "status": 403}`)
		return true
	})
	return n
}

func looked(r *relay) func() bool { return func() bool { return r.Describe().Issuance.Next != nil } }

// A process that is started again waits as long as the one before would have; one that
// wants something else, or is told to try, does not.
func TestBackOffOutlivesTheProcess(t *testing.T) {
	a, c := authority(t, acmetest.Options{})
	asked := refusing(a)
	c.Names, c.Storage, c.First, c.Most = []string{"relay.example.com"}, NewFiles(t.TempDir()), time.Hour, 8*time.Hour
	t.Run("the first", func(t *testing.T) {
		r := start(t, nil, c)
		within(t, "a failure", func() bool { return r.Describe().Issuance.Failed == 1 })
	})
	for range 3 {
		before := asked.Load()
		t.Run("the next", func(t *testing.T) {
			r := start(t, nil, c)
			within(t, "a look", looked(r))
			if got := r.Missing(); asked.Load() != before || !strings.Contains(got, "not yours") {
				t.Errorf("asked %d times; it says %q", asked.Load()-before, got)
			}
			if next := *r.Describe().Issuance.Next; time.Until(next) < 30*time.Minute {
				t.Errorf("the next try is at %v", next)
			}
			if n := strings.Count(r.log.String(), "there is no certificate yet"); n != 1 {
				t.Errorf("it was told %d times", n)
			}
		})
	}
	t.Run("told to", func(t *testing.T) {
		r := start(t, nil, c)
		within(t, "a look", looked(r))
		use, err := r.Prepare(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		use()
		within(t, "a try", func() bool { return r.Describe().Issuance.Failed == 1 })
	})
	for what, change := range map[string]func(*Config){
		"another name":    func(c *Config) { c.Names = []string{"relay.example.com", "derp.example.com"} },
		"another account": func(c *Config) { c.Contact = "ops@example.com" },
	} {
		t.Run(what, func(t *testing.T) {
			c := c
			change(&c)
			r := start(t, nil, c)
			within(t, "a try", func() bool { return r.Describe().Issuance.Failed == 1 })
		})
	}
}

// What an authority has said about when to ask again holds for the next process, and for
// who is told to try.
func TestRetryAfterOutlivesTheProcess(t *testing.T) {
	a, c := authority(t, acmetest.Options{})
	var asked atomic.Int64
	a.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		asked.Add(1)
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	c.Names, c.Storage = []string{"relay.example.com"}, NewFiles(t.TempDir())
	t.Run("the first", func(t *testing.T) {
		r := start(t, nil, c)
		within(t, "a failure", func() bool { return r.Describe().Issuance.Failed == 1 })
		within(t, "the next look", looked(r))
		for range 3 {
			use, err := r.Prepare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			use()
		}
		within(t, "a look", func() bool { return len(r.wake) == 0 })
	})
	before := asked.Load()
	r := start(t, nil, c)
	within(t, "a look", looked(r))
	if next := *r.Describe().Issuance.Next; asked.Load() != before || before != 1 || time.Until(next) < 90*time.Minute && time.Until(next) > lookEvery {
		t.Errorf("asked %d times, then %d; the next look is at %v", before, asked.Load()-before, next)
	}
}

// A relay that shares the storage of one that has failed waits as that does.
func TestBackOffIsShared(t *testing.T) {
	a, c := authority(t, acmetest.Options{})
	asked := refusing(a)
	c.Names, c.Storage, c.First, c.Most = []string{"relay.example.com"}, NewFiles(t.TempDir()), time.Hour, time.Hour
	one, other := start(t, nil, c), start(t, nil, c)
	within(t, "two looks", func() bool { return looked(one)() && looked(other)() })
	if n := one.Describe().Issuance.Failed + other.Describe().Issuance.Failed; n != 1 {
		t.Errorf("%d tries, with %d requests", n, asked.Load())
	}
	for _, r := range []*relay{one, other} {
		if got := r.Missing(); !strings.Contains(got, "not yours") {
			t.Errorf("it says %q", got)
		}
	}
}

// A process that dies while the authority is at work, or is ended, has tried.
func TestTryThatWasCutShort(t *testing.T) {
	a, c := authority(t, acmetest.Options{})
	reached, goOn := make(chan struct{}, 1), make(chan struct{})
	a.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/order-plz") {
			select {
			case reached <- struct{}{}:
			default:
			}
			select {
			case <-goOn:
			case <-r.Context().Done():
			}
		}
		return false
	})
	defer close(goOn)
	dir, atDeath := t.TempDir(), t.TempDir()
	c.Names, c.Storage, c.First, c.Most = []string{"relay.example.com"}, NewFiles(dir), time.Hour, time.Hour
	t.Run("the first", func(t *testing.T) {
		start(t, nil, c)
		<-reached
		if err := os.CopyFS(atDeath, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	})
	for what, test := range map[string]struct{ dir, want string }{
		"it has died":    {atDeath, "has ended meanwhile"},
		"it was stopped": {dir, "cut short"},
	} {
		t.Run(what, func(t *testing.T) {
			c := c
			c.Storage = NewFiles(test.dir)
			r := start(t, nil, c)
			within(t, "a look", looked(r))
			if got, next := r.Missing(), *r.Describe().Issuance.Next; a.Orders.Load() != 0 || !strings.Contains(got, test.want) || time.Until(next) < 30*time.Minute {
				t.Errorf("after %d orders it says %q, and tries again at %v", a.Orders.Load(), got, next)
			}
		})
	}
}

func FuzzPast(f *testing.F) {
	s, err := Open(Config{Names: []string{"relay.example.com"}, Storage: NewFiles(f.TempDir())})
	if err != nil {
		f.Fatal(err)
	}
	w := s.wanted[0]
	of := w.past.Of
	f.Add(fmt.Sprintf(`{"of": %q, "away": 2, "refused": 3, "not_before": %q, "failed": "x"}`, of, time.Now().Add(time.Hour).Format(time.RFC3339)))
	f.Add(fmt.Sprintf(`{"of": %q, "refused": 99999999, "not_before": "2099-01-01T00:00:00Z"}`, of))
	f.Add(fmt.Sprintf(`{"of": %q, "refused": -1}`, of))
	f.Add(`{"of": 1}`)
	f.Fuzz(func(t *testing.T, text string) {
		if err := s.store.keep(context.Background(), s.store.pastKey(w.names[0]), []byte(text)); err != nil {
			t.Fatal(err)
		}
		w.past = past{Of: of}
		s.recall(context.Background(), w)
		if w.past.Of != of || w.past.NotBefore.After(time.Now().Add(mostLater)) {
			t.Errorf("%q: %+v", text, w.past)
		}
		if wait := pause(retry.Backoff{First: refusedFirst, Most: refusedMost}, w.past.Refused+1); wait < 0 || wait > 2*refusedMost {
			t.Errorf("%q: waits %v", text, wait)
		}
	})
}
