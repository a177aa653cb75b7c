package admin

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/numbers/numberstest"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newHandler(t *testing.T, state health.Config) *Handler {
	t.Helper()
	r, err := relay.New(relay.Config{Key: key.NewPrivate()})
	if err != nil {
		t.Fatal(err)
	}
	e, err := edge.Listen(edge.Config{Relay: r, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Shutdown(context.Background())
		e.Shutdown(context.Background())
	})
	h, err := health.New(state)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{
		Version: "v1.2.3", Relay: r, Edge: e, Health: h,
		STUN: func() *stun.Snapshot { return &stun.Snapshot{Requests: 7} },
		Mesh: func() any { return []string{"sibling"} },
	})
}

func TestAnswers(t *testing.T) {
	h := newHandler(t, health.Config{})
	for _, c := range []struct {
		method, path string
		draining     bool
		status       int
		body         string
	}{
		{"GET", "/healthz", false, 200, "ok\n"},
		{"HEAD", "/healthz", false, 200, "ok\n"},
		{"GET", "/readyz", false, 200, "ready\n"},
		{"GET", "/check", false, 200, "ok\n"},
		{"GET", "/", false, 404, "there are only /healthz, /readyz, /status, /check, /history, /clients, /top, /debug/clients/\n"},
		{"GET", "/debug/check", false, 404, "there are only "},
		{"POST", "/readyz", false, 405, "use GET or HEAD\n"},
		{"GET", "/healthz", true, 200, "ok\n"},
		{"GET", "/readyz", true, 503, "draining\n"},
		{"GET", "/check", true, 200, "ok\n"},
	} {
		if c.draining {
			h.config.Health.Drain()
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.body) {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, w.Code, w.Body, c.status, c.body)
		}
		if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("%s %s: Content-Type %q", c.method, c.path, got)
		}
	}
}

// Both lists of who uses the relay are there, and take what is asked.
func TestClientsAreListed(t *testing.T) {
	h := newHandler(t, health.Config{})
	for path, body := range map[string]string{
		"/clients?sort=-rx":                  `"conns":0,"keys":0,"remaining":0,"clients":[]`,
		"/debug/clients/?format=json":        `{"conns":0,"keys":0}`,
		"/debug/clients/?format=json&app=x1": `"query": "all clients with app x1"`,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || !strings.Contains(w.Body.String(), body) {
			t.Errorf("%s: %d %q %s", path, w.Code, w.Header(), w.Body)
		}
	}
	for _, path := range []string{"/clients?sort=x", "/debug/clients/?all&limit=0"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestStatus(t *testing.T) {
	h := newHandler(t, health.Config{})
	ask := func() (s Status, text string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/status", nil))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		text = w.Body.String()
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		return s, text
	}
	s, text := ask()
	if s.Version != "v1.2.3" || s.PID != os.Getpid() || s.Started.IsZero() || s.Draining {
		t.Errorf("%+v", s)
	}
	if !s.Health.Healthy || s.Health.SelfCheck != nil || s.STUN.Requests != 7 {
		t.Errorf("health %+v, STUN %+v", s.Health, s.STUN)
	}
	for _, want := range []string{"\n  \"relay\": {\n", `"peers": 0`, `"handshake_failures": {`, `"sibling"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	h.config.Health.Drain()
	if s, _ := ask(); !s.Draining || s.Health.Healthy || s.Health.Reason != health.Draining {
		t.Errorf("does not say that it drains: %+v", s.Health)
	}
	h.config.STUN = func() *stun.Snapshot { return nil }
	if _, text := ask(); !strings.Contains(text, `"stun": null`) {
		t.Errorf("STUN that is off: %s", text)
	}
}

// A relay that fails its own check says why.
func TestFailedSelfCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := health.Path{Target: "there", Check: func(context.Context) error { return errors.New("no good") }}
		h := newHandler(t, health.Config{Direct: failing})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { h.config.Health.Run(ctx) })
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		cancel()
		running.Wait()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		if w.Code != 503 || w.Body.String() != "self-check failed: no good\n" {
			t.Errorf("/readyz: %d %q", w.Code, w.Body)
		}
		if s := h.Status(); s.Draining || s.Health.Reason != health.SelfCheckFailed || s.Health.SelfCheck.Target != "there" {
			t.Errorf("%+v", s.Health)
		}
	})
}

// The end of the certificate, and a reload that was in vain, are seen without a log.
func TestStatusShowsTheCertificate(t *testing.T) {
	h := newHandler(t, health.Config{})
	if _, text := askStatus(t, h); !strings.Contains(text, `"certificate": null`) {
		t.Errorf("without TLS: %s", text)
	}
	until := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	h.config.Certificate = func() *certs.Description {
		return &certs.Description{Source: "full.pem", Until: until, Failed: "key file leaf.key: it is empty", FailedAt: &until}
	}
	s, text := askStatus(t, h)
	for _, want := range []string{`"until": "2027-01-02T03:04:05Z"`, `"failed": "key file leaf.key: it is empty"`, `"failed_at": "2027`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	got := numberstest.Shown(Metrics, &s)
	if got["certificate_expires "] != float64(until.Unix()) || got["certificate_failed "] != 1 {
		t.Errorf("%v", got)
	}
}

// A reload that was not whole waits for somebody to see it.
func TestStatusShowsTheReload(t *testing.T) {
	h := newHandler(t, health.Config{})
	s, text := askStatus(t, h)
	if _, said := numberstest.Shown(Metrics, &s)["reload_failed "]; said || !strings.Contains(text, `"reload": null`) {
		t.Errorf("before there was one: %s", text)
	}
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		reload          Reload
		text            []string
		failed, waiting float64
	}{
		{Reload{At: at}, []string{`"at": "2027-01-02T03:04:05Z"`, `"error": ""`, `"restart": null`}, 0, 0},
		{Reload{At: at, Error: "mesh.key: it is empty"}, []string{`"error": "mesh.key: it is empty"`}, 1, 0},
		{Reload{At: at, Error: "restart needed", Restart: []string{"listen", "drain"}}, []string{`"listen",`, `"drain"`}, 1, 2},
	} {
		h.config.Reload = func() *Reload { return &test.reload }
		s, text := askStatus(t, h)
		for _, want := range test.text {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in %s", want, text)
			}
		}
		got := numberstest.Shown(Metrics, &s)
		if got["reload_at "] != float64(at.Unix()) || got["reload_failed "] != test.failed || got["reload_waiting "] != test.waiting {
			t.Errorf("%+v: %v", test.reload, got)
		}
	}
}

func TestStatusShowsTheDescriptorLimit(t *testing.T) {
	h := newHandler(t, health.Config{})
	h.config.Descriptors = func() Descriptors { return Descriptors{Limit: 1024, Few: true} }
	s, text := askStatus(t, h)
	if !strings.Contains(text, `"limit": 1024`) || !strings.Contains(text, `"few": true`) || numberstest.Shown(Metrics, &s)["descriptors "] != 1024 {
		t.Errorf("%s", text)
	}
}

func askStatus(t *testing.T, h *Handler) (s Status, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/status", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return s, w.Body.String()
}

// What a page asks of the history is what the history is asked, and its mistakes are said.
func TestHistory(t *testing.T) {
	h := newHandler(t, health.Config{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/history", nil))
	if w.Code != 404 || w.Body.String() != `{"error":"this relay keeps no history: its setting history is off"}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	asked := []history.Query{}
	h.config.History = func(q history.Query) (*history.Answer, error) {
		asked = append(asked, q)
		if q.Step == time.Second {
			return nil, errors.New("steps are whole minutes")
		}
		return &history.Answer{StepS: 300, Seconds: []float64{300, 0}, Peers: history.Series{7, math.NaN()}}, nil
	}
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/history?from=-24h&step=5m", 200, `"step_s":300,"seconds":[300,0],`},
		{"/history", 200, `"peers":[7,null]`},
		{"/history?step=1s", 400, `{"error":"steps are whole minutes"}`},
		{"/history?step=x", 400, `{"error":"step: \"x\" is no duration such as 5m"}`},
		{"/history?x=%1b[31m", 400, `{"error":"there is no parameter \"x\": from, to, step"}`},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s: %d %q, want %d %q", c.path, w.Code, w.Body, c.status, c.body)
		}
	}
	if len(asked) != 3 || asked[0].Step != 5*time.Minute || time.Since(asked[0].From).Round(time.Hour) != 24*time.Hour {
		t.Errorf("asked for %+v", asked)
	}
	h.config.HistoryState = func() *history.State { return &history.State{File: "history.db", Error: "no room", Errors: 3} }
	if s, text := askStatus(t, h); !strings.Contains(text, `"error": "no room"`) || numberstest.Shown(Metrics, &s)["history_errors "] != 3 {
		t.Errorf("%s", text)
	}
}
