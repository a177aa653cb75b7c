package relaypage

import (
	"context"
	"errors"
	"iter"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/history"
	"github.com/detour-relay/detour/internal/hitters"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/quota"
	"github.com/detour-relay/detour/internal/signin"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stand is a page whose relay is what the test says.
type stand struct {
	*Page
	http.Handler // of the loopback address
	desk         signin.Desk
	access       book
	drained      int
	is           admin.Status
	mu           sync.Mutex
	count        relay.Counters // guarded by mu
	explain      string
	peers        []relay.PeerState
	kept         *history.Answer
	asked        int // how often the status was made
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{is: admin.Status{Version: "v1.2.3", Started: time.Now().Add(-time.Hour), Health: health.Snapshot{Healthy: true}}}
	p, err := New(Config{
		Status: func() admin.Status { s.asked++; return s.is },
		Counters: func(c *relay.Counters) {
			s.mu.Lock()
			defer s.mu.Unlock()
			*c = s.count
		},
		Explain:  func() string { return s.explain },
		Peers:    s.Peers,
		Name:     func() string { return "relay.example" },
		History:  func(history.Query) (*history.Answer, error) { return s.kept, nil },
		Desk:     &s.desk,
		HasToken: func() bool { return true },
		Try: func(_ http.ResponseWriter, _ *http.Request, token string) (int, string) {
			if token != "right" {
				return http.StatusUnauthorized, "wrong <token>"
			}
			return 0, ""
		},
		Orders: control.New(control.Config{
			Peers: s, Access: &s.access, Drain: func() error { s.drained++; return nil },
			Reload: func() (control.Report, error) {
				return control.Report{Changed: []control.Change{{Setting: "drain", Old: "1s", New: hostile}}}, nil
			},
		}),
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "next", http.StatusTeapot) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Page, s.Handler = p, p.Public()
	return s
}

// Peers and Close are for orders.
func (s *stand) Peers(yield func(relay.PeerState) bool) { slices.Values(s.peers)(yield) }

func (s *stand) Close(match func(relay.PeerState) bool, _ error, _ int) (closed int) {
	before := len(s.peers)
	s.peers = slices.DeleteFunc(s.peers, match)
	return before - len(s.peers)
}

// A book has bans alone.
type book struct{ bans map[key.Public]control.Order }

// Lines is only asked for one key.
func (b *book) Lines(only []key.Public) iter.Seq[control.Line] {
	return func(yield func(control.Line) bool) {
		if o, banned := b.bans[only[0]]; banned {
			yield(control.Line{Key: only[0], State: control.Banned, Why: o.Why})
		}
	}
}

func (b *book) Do(order string, keys []key.Public, _ time.Time, o control.Order) []error {
	if b.bans == nil {
		b.bans = map[key.Public]control.Order{}
	}
	for _, k := range keys {
		if order == control.Unban {
			delete(b.bans, k)
		} else {
			b.bans[k] = o
		}
	}
	return make([]error, len(keys))
}

func (b *book) Import(control.ImportOrder, []control.Entry) (control.Imported, error) {
	return control.Imported{}, errors.New("nobody imports")
}

func (s *stand) get(t *testing.T, path string) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

const hostile = "</i><script>alert(1)</script>\"'\u202egnp.exe\x1b[31m"

// everything is a relay that has all there is, much of it from people who mean harm.
func everything() admin.Status {
	now := time.Now()
	nextTry := now.Add(time.Minute)
	return admin.Status{
		Version: hostile, Started: now.Add(-50 * time.Hour), Health: health.Snapshot{Healthy: true, SelfCheck: &health.SelfCheck{Target: hostile, Error: hostile, Failures: 1, At: &now, TookMS: 3}},
		Relay: relay.Survey{
			Counters: relay.Counters{Dropped: map[string]relay.ByKind{"queue_head": {Other: relay.Traffic{Packets: 7, Bytes: 7000}}, "unknown_dest": {}}},
			Links:    []relay.LinkState{{Name: "b" + hostile, Peers: 12, Restarting: true}},
		},
		STUN: &stun.Snapshot{Requests: 5},
		Mesh: []mesh.State{{Name: "b" + hostile, Status: mesh.Linked, Since: now.Add(-time.Hour)}, {Name: "c" + hostile, Status: mesh.Waiting, LastError: hostile, NextTry: nextTry}, {Name: "d", Status: mesh.Self}},
		Access: &admit.Snapshot{
			Keys: []admit.FileState{{File: hostile, Keys: 3, Error: hostile}}, Managed: admit.ManagedState{Keys: 2, Bans: 1},
			Sources: []admit.SourceState{{Source: "verify", Target: hostile, Away: true, Error: hostile}}, Refused: map[admit.Reason]uint64{admit.Banned: 4, admit.Unknown: 0},
		},
		Certificate: &certs.Description{
			Source: hostile, Names: []string{hostile, "relay.example"}, From: now.Add(-80 * 24 * time.Hour), Until: now.Add(5 * 24 * time.Hour), Failed: hostile,
			Issuance: &certs.Issuance{Issued: 1, Failed: 2, Next: &nextTry},
		},
		Quota:       &quota.Snapshot{State: quota.PastSoft, Used: 700, Soft: 500, Hard: 1000, ResetsAt: nextTry, Error: hostile},
		Limits:      config.Limits{In: 1 << 20, Total: 1 << 30, Labels: map[string]config.Limit{hostile: {In: 5}}},
		Reload:      &admin.Reload{At: now, Error: hostile, Restart: []string{"listen"}, Changed: []config.Change{{Setting: "drain", Old: hostile, New: hostile}}},
		Descriptors: admin.Descriptors{Limit: 256, Few: true},
		Hitters: &hitters.Snapshot{Windows: []hitters.Window{
			{Name: "minute", Total: use(400), Keys: hitters.List{Top: []hitters.Hitter{{Name: "nodekey:12", Use: use(300)}}}},
			{Name: "hour", Total: use(4000), Apps: hitters.List{Top: []hitters.Hitter{{Name: hostile, Use: use(3000)}, {Name: "", Use: use(500)}}}, Networks: hitters.List{Top: []hitters.Hitter{{Use: use(7)}}}},
		}},
	}
}

func use(bytes uint64) hitters.Use {
	return hitters.Use{Received: relay.Traffic{Packets: 1, Bytes: bytes}}
}

// All that a relay has is on the page, and what others call themselves is harmless there.
func TestOverviewShowsEverything(t *testing.T) {
	s := newStand(t)
	s.is = everything()
	s.kept = &history.Answer{Seconds: []float64{60, 0}, ReceivedBytes: history.Series{6000, math.NaN()}}
	body := s.get(t, "/?by=apps&over=hour")
	for _, want := range []string{"relay.example", "queue_head", "waiting", "restarts", "the relay&#39;s own list", "cannot answer", "banned 4", "beyond the soft mark", "70 %", "all together", "self-check failed", "for 1 h 0 min", "Traffic, last hour", "100 B/s at most", "says nothing", `width="75"`, `href="clients?app=%3C%2Fi`, "2 d 2 h"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	for _, never := range []string{"<script>", "</i", "\u202e", "\x1b"} {
		if strings.Contains(body, never) {
			t.Errorf("%q is on the page: %s", never, body[strings.Index(body, never)-100:][:200])
		}
	}
}

// A relay that was started lately has charts of the time since, not of a day of which
// nothing is known.
func TestChartsGoBackAsFarAsIsKnown(t *testing.T) {
	to := time.Unix(100_000_000, 0)
	day := history.Answer{From: to.Add(-24 * time.Hour), To: to, StepS: 300}
	for known, want := range map[int]string{0: "last hour", 1: "last hour", 12: "last hour", 13: "last 6 hours", 72: "last 6 hours", 73: "last day", 288: "last day"} {
		day.Seconds = make([]float64, 288)
		for i := range known {
			day.Seconds[288-1-i] = 300
		}
		if known > 2 {
			day.Seconds[288-2] = 0 // a restart
		}
		if got := stretchOf(&day); got.over != want {
			t.Errorf("%d steps of 5 min are known: %s, want %s", known, got.over, want)
		}
	}
	s := newStand(t)
	var asked []time.Duration
	s.Page.config.History = func(q history.Query) (*history.Answer, error) {
		asked = append(asked, time.Since(q.From).Round(time.Minute))
		return &history.Answer{Seconds: []float64{60}, StepS: 60, ReceivedBytes: history.Series{6000}}, nil
	}
	if body := s.get(t, "/"); !strings.Contains(body, "Peers, last hour") || !slices.Equal(asked, []time.Duration{24 * time.Hour, time.Hour}) {
		t.Errorf("asked for %v", asked)
	}
}

// The lists of who uses most are picked in the page's address, and nobody is led astray by
// one that there is not.
func TestUsage(t *testing.T) {
	s := everything()
	for query, want := range map[string]string{
		"": "key minute nodekey:12", "by=keys&over=minute": "key minute nodekey:12", "by=<x>&over=year": "key minute nodekey:12", "by=apps&over=hour": "app hour " + hostile,
		"by=labels": "label minute", "by=networks&over=hour": "network hour unknown address", "over=day": "key day",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		u := usageOf(s, values)
		got := u.What
		for _, c := range u.Spans {
			if c.Here {
				got += " " + c.Text
			}
		}
		if len(u.Rows) > 0 {
			got += " " + u.Rows[0].Name
		}
		if got != want {
			t.Errorf("%q shows %q, want %q", query, got, want)
		}
	}
	if u := usageOf(admin.Status{}, nil); u.Known {
		t.Error("nobody counts, and somebody is known")
	}
}

// Who looks often, or with others, has the status made once a second.
func TestManyLooksCostOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		for range 50 {
			s.get(t, "/")
		}
		if s.asked != 1 {
			t.Errorf("the status was made %d times", s.asked)
		}
		time.Sleep(time.Second)
		if s.get(t, "/"); s.asked != 2 {
			t.Errorf("the status is %d seconds old", s.asked)
		}
	})
}

func TestPathsAndMethods(t *testing.T) {
	s := newStand(t)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200}, {"HEAD", "/", 200}, {"POST", "/", 405}, {"GET", "/clients", 200}, {"DELETE", "/clients", 405}, {"GET", "/client", 400}, {"GET", "/client?key=%3Cb%3E", 400}, {"GET", "/clients?sort=%3Cb%3E", 400}, {"GET", "/ban", 405}, {"POST", "/ban", 403}, {"POST", "/drain", 403}, {"GET", "/page.css", 200},
		{"GET", "/status", 418}, {"POST", "/status", 418}, {"GET", "//", 418}, {"GET", "/overview.html", 418},
	} {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil)); w.Code != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.status)
		}
	}
}

// Each thing that can be wrong is told, with what to do, and the worst of them in a word.
func TestVerdict(t *testing.T) {
	now := time.Now()
	well := admin.Status{Health: health.Snapshot{Healthy: true}}
	for name, c := range map[string]struct {
		change  func(*admin.Status)
		lately  lately
		explain string
		class   string
		word    string
		what    string // of the first problem
	}{
		"nothing":    {class: good, word: "All is well"},
		"draining":   {change: func(s *admin.Status) { s.Draining, s.Health = true, health.Snapshot{Reason: health.Draining} }, explain: "draining", class: odd, word: "Draining: peers are sent elsewhere", what: "The relay drains"},
		"used up":    {change: func(s *admin.Status) { s.Health = health.Snapshot{Reason: health.QuotaUsedUp} }, explain: "quota used up: all of it", class: bad, word: "The relay wants no peers", what: "The month's quota is used up"},
		"no cert":    {change: func(s *admin.Status) { s.Health = health.Snapshot{Reason: health.NoCertificate} }, explain: "no certificate: none", class: bad, word: "The relay wants no peers", what: "There is no certificate"},
		"self-check": {change: func(s *admin.Status) { s.Health = health.Snapshot{Reason: health.SelfCheckFailed} }, explain: "self-check failed: refused", class: bad, word: "The relay wants no peers", what: "The self-check fails"},
		"once":       {change: func(s *admin.Status) { s.Health.SelfCheck = &health.SelfCheck{Failures: 1} }, class: odd, word: "It works, and one thing wants a look", what: "The last self-check failed"},
		"full":       {change: func(s *admin.Status) { s.Health.Full = true }, class: bad, word: "One thing is wrong", what: "The relay is full"},
		"expired":    {change: func(s *admin.Status) { s.Certificate = &certs.Description{Until: now.Add(-time.Hour)} }, class: bad, word: "One thing is wrong", what: "The certificate has expired"},
		"expires": {change: func(s *admin.Status) {
			s.Certificate = &certs.Description{From: now.Add(-80 * 24 * time.Hour), Until: now.Add(9 * 24 * time.Hour)}
		}, class: odd, word: "It works, and one thing wants a look", what: "The certificate ends soon"},
		"short-lived": {change: func(s *admin.Status) {
			s.Certificate = &certs.Description{From: now.Add(-72 * time.Hour), Until: now.Add(72 * time.Hour)}
		}, class: good, word: "All is well"},
		"hard mark": {change: func(s *admin.Status) { s.Quota = &quota.Snapshot{State: quota.PastHard} }, class: bad, word: "One thing is wrong", what: "The month's quota is used up"},
		"away":      {change: func(s *admin.Status) { s.Access = &admit.Snapshot{Sources: []admit.SourceState{{Away: true}}} }, class: odd, word: "It works, and one thing wants a look", what: "Who decides about admission is out of reach"},
		"sibling": {change: func(s *admin.Status) {
			s.Mesh = []mesh.State{{Name: "b", Status: mesh.Waiting}, {Name: "c", Status: mesh.Linked}}
		}, class: odd, word: "It works, and one thing wants a look", what: "No link to b"},
		"reload":    {change: func(s *admin.Status) { s.Reload = &admin.Reload{Error: "x"} }, class: odd, word: "It works, and one thing wants a look", what: "The last reload was not taken over"},
		"restart":   {change: func(s *admin.Status) { s.Reload = &admin.Reload{Restart: []string{"listen"}} }, class: odd, word: "It works, and one thing wants a look", what: "Settings wait for a restart"},
		"drops":     {lately: lately{minute: time.Minute, of: relay.Traffic{Packets: 10_000}, lost: map[string]uint64{"queue_head": 300}}, class: odd, word: "It works, and one thing wants a look", what: "3.0 % of the packets are dropped"},
		"few drops": {lately: lately{minute: time.Minute, of: relay.Traffic{Packets: 100}, lost: map[string]uint64{"queue_head": 30}}, class: good, word: "All is well"},
		"strangers": {lately: lately{minute: time.Minute, of: relay.Traffic{Packets: 1000}, lost: map[string]uint64{"unknown_dest": 900}}, class: good, word: "All is well"},
		"several": {change: func(s *admin.Status) {
			s.Descriptors.Few, s.Health.Full, s.Certificate = true, true, &certs.Description{Until: now.Add(-1)}
		}, class: bad, word: "2 things are wrong", what: "The relay is full"},
	} {
		s := well
		if c.change != nil {
			c.change(&s)
		}
		v := judge(s, c.lately, c.explain, now)
		if v.Class != c.class || v.Word != c.word {
			t.Errorf("%s: %s, %q, want %s, %q", name, v.Class, v.Word, c.class, c.word)
		}
		if c.what == "" && len(v.Problems) > 0 || c.what != "" && (len(v.Problems) == 0 || v.Problems[0].What != c.what) {
			t.Errorf("%s: %+v, want %q first", name, v.Problems, c.what)
		}
		for _, p := range v.Problems {
			if p.Do == "" {
				t.Errorf("%s: %q says not what to do", name, p.What)
			}
		}
	}
}

// The traffic of ten minutes is known two seconds after it came, and not for longer.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.count = relay.Counters{Dropped: map[string]relay.ByKind{"queue_head": {}}}
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		synctest.Wait()
		s.mu.Lock()
		s.count.Received.Other = relay.Traffic{Packets: 10, Bytes: 2000}
		s.count.Sent.Disco = relay.Traffic{Packets: 5, Bytes: 1000}
		s.count.Dropped = map[string]relay.ByKind{"queue_head": {Other: relay.Traffic{Packets: 4}}}
		s.mu.Unlock()
		time.Sleep(beat)
		synctest.Wait()
		l := s.pulse.lately()
		if last(l.in) != 1000 || last(l.out) != 500 || last(l.dropped) != 2 || l.of.Packets != 10 || l.lost["queue_head"] != 4 || l.minute != beat {
			t.Errorf("%v %v %v, %+v", last(l.in), last(l.out), last(l.dropped), l.lost)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if l = s.pulse.lately(); last(l.in) != 0 || l.of.Packets != 0 || l.lost["queue_head"] != 0 || l.minute != time.Minute || slices.Max(l.in[269:]) != 1000 {
			t.Errorf("a minute later: %v, %+v, %v", last(l.in), l.of, l.minute)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if l = s.pulse.lately(); len(l.in) != beats-1 || slices.Max(l.in) != 0 {
			t.Error("ten minutes later it is still there")
		}
		cancel(errors.New("the test is over"))
		<-done
	})
}
