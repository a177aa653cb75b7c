package coordsource

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// membership answers questions as coordinators do: members have odd numbers.
func membership(w http.ResponseWriter, r *http.Request) {
	var q struct{ NodePublic key.Public }
	switch {
	case r.Header.Get("Authorization") != "Bearer secret":
		w.WriteHeader(http.StatusForbidden)
	case r.Method != http.MethodPost || r.URL.Path != coordapi.PathVerify || json.NewDecoder(r.Body).Decode(&q) != nil:
		w.WriteHeader(http.StatusBadRequest)
	default:
		json.NewEncoder(w).Encode(map[string]bool{"Allow": q.NodePublic[0]%2 == 1})
	}
}

func status(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) }
}

func start(t *testing.T, handler http.HandlerFunc) (url string) {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func newSource(t *testing.T, cfg Config) *Source {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestMembersAreConfirmed(t *testing.T) {
	for name, test := range map[string]struct {
		replicas []http.HandlerFunc
		token    string
		n        byte
		allow    bool
		err      string
	}{
		"a member":             {[]http.HandlerFunc{membership}, "secret", 1, true, ""},
		"no member":            {[]http.HandlerFunc{membership}, "secret", 2, false, ""},
		"the second knows":     {[]http.HandlerFunc{status(503), membership}, "secret", 1, true, ""},
		"the second refuses":   {[]http.HandlerFunc{status(503), membership}, "secret", 2, false, ""},
		"a no is an answer":    {[]http.HandlerFunc{membership, status(503)}, "secret", 2, false, ""},
		"nobody":               {[]http.HandlerFunc{status(503), status(500)}, "secret", 1, false, "status 503"},
		"without a token":      {[]http.HandlerFunc{membership}, "", 1, false, "it wants a token of this relay, and none was given (status 403)"},
		"with another's token": {[]http.HandlerFunc{membership}, "public", 1, false, "counts no more or is another's (status 403)"},
		"something else":       {[]http.HandlerFunc{status(404)}, "secret", 1, false, "status 404: is it a coordination server?"},
	} {
		t.Run(name, func(t *testing.T) {
			var urls []string
			for _, handler := range test.replicas {
				urls = append(urls, start(t, handler))
			}
			s := newSource(t, Config{Coordinators: urls, Token: test.token})
			allow, err := s.Ask(t.Context(), numbered(test.n), netip.Addr{})
			if allow != test.allow || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("%v, %v; want %v, %s", allow, err, test.allow, test.err)
			}
			if err != nil && test.token != "" && strings.Contains(err.Error(), test.token) {
				t.Errorf("the token is in %q", err)
			}
		})
	}
}

// The replica that answered is asked first from then on.
func TestTheReplicaThatAnswersIsAskedFirst(t *testing.T) {
	var asked atomic.Int64
	dead := start(t, func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); w.WriteHeader(http.StatusBadGateway) })
	s := newSource(t, Config{Coordinators: []string{dead, start(t, membership)}, Token: "secret"})
	for range 5 {
		if allow, err := s.Ask(t.Context(), numbered(1), netip.Addr{}); !allow || err != nil {
			t.Fatal(allow, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the one that is away was asked %d times", asked.Load())
	}
}

// A replica that does not answer leaves time for the others.
func TestASilentReplicaLeavesTimeForTheNext(t *testing.T) {
	over := make(chan struct{})
	hangs := start(t, func(http.ResponseWriter, *http.Request) { <-over })
	defer close(over)
	s := newSource(t, Config{Coordinators: []string{hangs, start(t, membership)}, Token: "secret"})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if allow, err := s.Ask(ctx, numbered(1), netip.Addr{}); !allow || err != nil {
		t.Error(allow, err)
	}
}

// While a key has just gone no yes counts for it, also not one to a question that was
// under way.
func TestAYesDoesNotCountForWhoHasJustGone(t *testing.T) {
	var s *Source
	during := false
	at := start(t, func(w http.ResponseWriter, r *http.Request) {
		if during {
			s.noteGone(numbered(1))
		}
		membership(w, r)
	})
	s = newSource(t, Config{Coordinators: []string{at}, Token: "secret"})
	for _, test := range []struct{ during, allow bool }{{false, true}, {true, false}, {false, false}} {
		during = test.during
		if allow, err := s.Ask(t.Context(), numbered(1), netip.Addr{}); allow != test.allow || err != nil {
			t.Errorf("%+v: %v, %v", test, allow, err)
		}
	}
	for i := range 3 * mostGone {
		s.noteGone(key.Public{1, byte(i), byte(i >> 8)})
	}
	if len(s.gone) > mostGone {
		t.Errorf("%d keys that have gone are remembered", len(s.gone))
	}
}

func TestCertificatesThatArePinned(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(membership))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	sum := sha256.Sum256(server.Certificate().Raw)
	for pin, good := range map[string]bool{
		"": false, fmt.Sprintf("=sha256-raw:%x", sum): true, "=sha256-raw:" + strings.Repeat("0", 64): false,
	} {
		s := newSource(t, Config{Coordinators: []string{server.URL + pin}, Token: "secret"})
		if allow, err := s.Ask(t.Context(), numbered(1), netip.Addr{}); allow != good || (err == nil) != good {
			t.Errorf("%q: %v, %v", pin, allow, err)
		}
		if _, err := s.replicas[0].open(t.Context(), ""); (err != nil && !strings.Contains(err.Error(), "status 400")) == good {
			t.Errorf("%q: watching: %v", pin, err)
		}
	}
}

func TestServersAreChecked(t *testing.T) {
	watched := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != coordapi.PathRelayWatch {
			w.WriteHeader(http.StatusBadRequest)
		}
	}
	for name, test := range map[string]struct {
		replicas []http.HandlerFunc
		err      string
		token    bool
	}{
		"answers":    {[]http.HandlerFunc{watched}, "", false},
		"one does":   {[]http.HandlerFunc{status(500), watched}, "", false},
		"none does":  {[]http.HandlerFunc{status(500), status(503)}, "status 503", false},
		"wants more": {[]http.HandlerFunc{status(401)}, "make another there", true},
	} {
		var urls []string
		for _, handler := range test.replicas {
			urls = append(urls, start(t, handler))
		}
		err := newSource(t, Config{Coordinators: urls, Token: "secret"}).Check(t.Context())
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) || errors.Is(err, ErrToken) != test.token {
			t.Errorf("%s: %v, want %s", name, err, test.err)
		}
	}
}

func TestConfigsRefused(t *testing.T) {
	for given, want := range map[string]string{
		"":                                    "want the URL of a coordinator",
		"coord.example.com":                   "want the URL of a coordinator",
		"https://coord.example.com/verify":    "want the URL of a coordinator",
		"https://u:hunter2@coord.example.com": "want the URL of a coordinator",
		"ftp://coord.example.com":             "want https://",
		"http://coord.example.com":            "on this machine only",
		"http://127.0.0.1:1=sha256-raw:00":    "64 lowercase hex digits",
		"https://coord.example.com=sha256:00": "64 lowercase hex digits",
		"https://coord.example.com:99999":     "want a port",
		"http://127.0.0.1=sha256-raw:" + strings.Repeat("0", 64): "no certificate to pin",
	} {
		if _, err := New(Config{Coordinators: []string{given}}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %s", given, err, want)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("nobody is named, and that is no error")
	}
	if _, err := New(Config{Coordinators: []string{"https://a"}, Token: "a b"}); err == nil || strings.Contains(err.Error(), "a b") {
		t.Errorf("a token with white space: %v", err)
	}
}
