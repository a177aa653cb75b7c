package admit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// members is a coordination server.
type members struct {
	t      *testing.T
	server *httptest.Server
	events chan coordapi.RelayEvent

	mu      sync.Mutex
	all     map[key.Public]bool
	asked   map[key.Public]int
	since   []string              // of each watch
	answers func(key.Public) bool // instead of all; nil: all decides
}

func coordinate(t *testing.T) *members {
	m := &members{t: t, events: make(chan coordapi.RelayEvent, 10), all: map[key.Public]bool{}, asked: map[key.Public]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc(coordapi.PathVerify, m.verify)
	mux.HandleFunc(coordapi.PathRelayWatch, m.watch)
	m.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		m.server.CloseClientConnections()
		m.server.Close()
	})
	return m
}

func (m *members) verify(w http.ResponseWriter, r *http.Request) {
	var q struct{ NodePublic key.Public }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		m.t.Error(err)
	}
	m.mu.Lock()
	allow, answers := m.all[q.NodePublic], m.answers
	m.asked[q.NodePublic]++
	m.mu.Unlock()
	if answers != nil {
		allow = answers(q.NodePublic)
	}
	json.NewEncoder(w).Encode(map[string]bool{"Allow": allow})
}

func (m *members) watch(w http.ResponseWriter, r *http.Request) {
	since := r.URL.Query().Get("since")
	m.mu.Lock()
	m.since = append(m.since, since)
	m.mu.Unlock()
	begin := coordapi.EventSnapshot
	if since != "" {
		begin = coordapi.EventResumed
	}
	say := func(e coordapi.RelayEvent) {
		json.NewEncoder(w).Encode(e)
		w.(http.Flusher).Flush()
	}
	say(coordapi.RelayEvent{Type: begin})
	say(coordapi.RelayEvent{Type: coordapi.EventAt, Cursor: "one"})
	for {
		select {
		case e := <-m.events:
			say(e)
		case <-r.Context().Done():
			return
		}
	}
}

func (m *members) add(keys ...key.Public) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		m.all[k] = true
	}
}

// remove removes members, and says so, or does not.
func (m *members) remove(says bool, keys ...key.Public) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		delete(m.all, k)
		if says {
			m.events <- coordapi.RelayEvent{Type: coordapi.EventGone, Key: k}
		}
	}
}

func (m *members) count(k key.Public) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[k]
}

func (m *members) access() config.Access {
	return config.Access{Coordinator: []string{m.server.URL}, Grace: config.Duration(24 * time.Hour)}
}

// until waits for what is to become so.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so: %s", what)
		}
	}
}

// admitTo has a key come in, and connected.
func admitTo(t *testing.T, c *Chain, h *house, keys ...key.Public) {
	t.Helper()
	for _, p := range keys {
		if source, why := outcome(c, applicant(p)); why != "" {
			t.Fatalf("%v: %s %s", p, source, why)
		}
		h.join(relay.PeerState{Peer: p})
	}
}

func heardNow(c *Chain) bool {
	s := c.Snapshot().Sources[0]
	return s.Heard != nil && s.Heard.Now
}

func TestARemovedMemberIsCutOff(t *testing.T) {
	m, h := coordinate(t), &house{}
	c := newChain(t, Config{Access: m.access(), Peers: h})
	running(t, c)
	m.add(k(1), k(2))
	admitTo(t, c, h, k(1), k(2))
	if source, why := outcome(c, applicant(k(3))); source != SourceCoordinator || why != Denied {
		t.Errorf("no member: %s %s", source, why)
	}
	until(t, "the server is heard", func() bool { return heardNow(c) })
	m.remove(true, k(1))
	until(t, "it is cut off", func() bool { return h.ended(k(1)) != nil })
	if h.left() != 1 {
		t.Errorf("%d are left", h.left())
	}
	m.add(k(1)) // as a replica has it that has not heard
	if _, why := outcome(c, applicant(k(1))); why != Denied {
		t.Errorf("it comes back: %s", why)
	}
	s := c.Snapshot()
	if got := s.Decisions[SourceCoordinator]; got.Revoked != 1 || s.Sources[0].Heard.Gone != 1 {
		t.Errorf("%+v, %+v", got, s.Sources[0].Heard)
	}
	if lines := s.Away(); len(lines) > 0 {
		t.Errorf("%q", lines)
	}
}

// Somebody whom another source vouches for, or vouched for, stays.
func TestAMemberWhoIsAlsoKnownElsewhere(t *testing.T) {
	for name, allowed := range map[string]bool{"stays": true, "is refused there, too": false} {
		t.Run(name, func(t *testing.T) {
			m, h := coordinate(t), &house{}
			c := newChain(t, Config{Access: m.access(), Peers: h})
			other := &played{says: always(false, nil)}
			r := *c.rules.Load()
			r.sources = append(r.sources, newSource(SourceVerify, "other", "other", other))
			c.rules.Store(&r)
			running(t, c)
			until(t, "the server is heard", func() bool { return heardNow(c) }) // first, as it has all asked about
			m.add(k(1))
			admitTo(t, c, h, k(1))
			other.say(always(allowed, nil))
			asked := other.count(k(1))
			m.remove(true, k(1))
			until(t, "the other is asked", func() bool { return other.count(k(1)) > asked })
			if !allowed {
				until(t, "it is cut off", func() bool { return h.ended(k(1)) != nil })
				return
			}
			until(t, "the other's word counts", func() bool {
				seen, ok := c.memory.of(k(1))
				return ok && seen.by == r.sources[1].id
			})
			c.look("", time.Now())
			if h.left() != 1 {
				t.Errorf("it was cut off: %v", h.ended(k(1)))
			}
			asked = other.count(k(1))
			for _, p := range []key.Public{k(1), k(2)} { // again, and means nothing now
				m.events <- coordapi.RelayEvent{Type: coordapi.EventGone, Key: p}
			}
			until(t, "that is heard", func() bool { return c.Snapshot().Sources[0].Heard.Gone == 3 })
			if _, ok := c.memory.of(k(1)); !ok || other.count(k(1)) > asked {
				t.Error("who is known from elsewhere is forgotten, or asked about")
			}
		})
	}
}

// When the server cannot tell what was missed, it is asked about all who came by it.
func TestAfterASnapshotAllAreAskedAbout(t *testing.T) {
	m, h := coordinate(t), &house{}
	c := newChain(t, Config{Access: m.access(), Peers: h})
	running(t, c)
	var all []key.Public
	for i := range 100 {
		all = append(all, k(i))
	}
	m.add(all...)
	admitTo(t, c, h, all...)
	until(t, "the server is heard", func() bool { return heardNow(c) })
	m.remove(false, all[:30]...)
	m.events <- coordapi.RelayEvent{Type: coordapi.EventSnapshot}
	until(t, "who was removed is cut off", func() bool { return h.left() == 70 })
	for _, p := range all[30:] {
		until(t, "it was asked about again", func() bool { return m.count(p) > 1 })
		if h.ended(p) != nil {
			t.Fatalf("%v: %v", p, h.ended(p))
		}
	}
}

// A yes that was under way when the member was removed does not let it in.
func TestAMemberWhoIsRemovedWhileItIsAskedAbout(t *testing.T) {
	m, h := coordinate(t), &house{}
	c := newChain(t, Config{Access: m.access(), Peers: h})
	running(t, c)
	until(t, "the server is heard", func() bool { return heardNow(c) })
	m.mu.Lock()
	m.answers = func(p key.Public) bool {
		m.events <- coordapi.RelayEvent{Type: coordapi.EventGone, Key: p}
		until(t, "it has gone", func() bool { return c.rules.Load().server().server.Gone(p) })
		return true
	}
	m.mu.Unlock()
	if _, why := outcome(c, applicant(k(1))); why != Denied {
		t.Errorf("%q", why)
	}
	if _, known := c.memory.of(k(1)); known {
		t.Error("it is known")
	}
}

// Another server is heard after a reload, and the same one goes on where it was.
func TestReloadsKeepTheCursor(t *testing.T) {
	first, second := coordinate(t), coordinate(t)
	c := newChain(t, Config{Access: first.access()})
	running(t, c)
	until(t, "the first is heard", func() bool { return heardNow(c) })
	watches := func(m *members) string {
		m.mu.Lock()
		defer m.mu.Unlock()
		return strings.Join(m.since, ",")
	}
	if err := c.Update(Config{Access: first.access()}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is resumed", func() bool { return watches(first) == ",one" })
	if err := c.Update(Config{Access: second.access()}); err != nil {
		t.Fatal(err)
	}
	until(t, "the second is heard from the beginning", func() bool { return fmt.Sprintf("%q", second.sinceNow()) == `[""]` })
	if err := c.Update(Config{Access: config.Access{Everyone: true}}); err != nil {
		t.Fatal(err)
	}
	if got := watches(first); got != ",one" {
		t.Errorf("the first was watched from %q", got)
	}
}

func (m *members) sinceNow() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.since...)
}

// While the server is away, who is known stays, and the status says what is wrong.
func TestAServerThatIsAway(t *testing.T) {
	m, h := coordinate(t), &house{}
	c := newChain(t, Config{Access: m.access(), Peers: h})
	running(t, c)
	m.add(k(1))
	admitTo(t, c, h, k(1))
	until(t, "the server is heard", func() bool { return heardNow(c) })
	m.server.CloseClientConnections()
	m.server.Close()
	until(t, "it is not heard", func() bool { return !heardNow(c) })
	until(t, "that is told", func() bool {
		s := c.Snapshot()
		return strings.Contains(strings.Join(s.Away(), "\n"), "cannot be heard, so who is removed there stays up to ten minutes: it cannot be reached")
	})
	if _, why := outcome(c, applicant(k(1))); why != "" {
		t.Errorf("a known key: %s", why)
	}
	if _, why := outcome(c, applicant(k(2))); why != Unanswered {
		t.Errorf("a stranger: %s", why)
	}
	if err := c.CheckServer(t.Context()); err == nil {
		t.Error("a check finds nothing wrong")
	}
}

func TestCoordinatorsRefused(t *testing.T) {
	at := []string{"https://coord.example.com"}
	for want, a := range map[string]config.Access{
		"access.coordinator-token: open nowhere":                 {Coordinator: at, CoordinatorToken: "nowhere"},
		"it has 2 lines that could be the token":                 {Coordinator: at, CoordinatorToken: writeFile(t, "two", "hunter2\nhunter2\n")},
		"it has 0 lines that could be the token":                 {Coordinator: at, CoordinatorToken: writeFile(t, "none", "# later\n")},
		"access.coordinator: the token has a character":          {Coordinator: at, CoordinatorToken: writeFile(t, "bad", "hunter2 hunter2\n")},
		"access.coordinator: \"https://a/b\": want the URL of a": {Coordinator: []string{"https://a/b"}},
	} {
		if _, err := New(Config{Access: a}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A yes that was given just before the member was removed, and is noted after it, does
// not make it known.
func TestAYesThatComesTooLate(t *testing.T) {
	m := coordinate(t)
	c := newChain(t, Config{Access: m.access()})
	running(t, c)
	s := c.rules.Load().server()
	m.remove(true, k(1))
	until(t, "it has gone", func() bool { return s.server.Gone(k(1)) })
	for _, p := range []key.Public{k(1), k(2)} {
		c.noteVerdict(&question{key: p, verdict: verdict{answer: yes, by: s}})
	}
	if _, known := c.memory.of(k(1)); known {
		t.Error("who has gone is known")
	}
	if _, known := c.memory.of(k(2)); !known {
		t.Error("who has not gone is not known")
	}
}

// Who may have gone unheard is asked about at once, but not so many that the server
// has nothing else to do; the others follow.
func TestAfterASnapshotQuestionsAreBounded(t *testing.T) {
	m, h := coordinate(t), &house{}
	c := newChain(t, Config{Access: m.access(), Peers: h})
	asked := &played{says: always(true, nil)}
	r := *c.rules.Load()
	s := newSource(SourceCoordinator, "it", "it", asked)
	s.server = r.sources[0].server
	r.sources = []*source{s}
	c.rules.Store(&r)
	const n = mostMissed + 1000
	for i := range n {
		c.memory.confirm(k(i), s.id, time.Now())
		h.join(relay.PeerState{Peer: k(i)})
	}
	total := func() (sum int) {
		asked.mu.Lock()
		defer asked.mu.Unlock()
		return len(asked.asked)
	}
	settled := func() bool { _, known := c.questions.counts(); return known == 0 }
	c.noteMissed(s, time.Now())
	until(t, "they are asked about", settled)
	if got := total(); got != mostMissed {
		t.Errorf("%d questions at once, want %d", got, mostMissed)
	}
	c.askConnected(&r, time.Now())
	until(t, "the others are", settled)
	c.askConnected(&r, time.Now())
	if got := total(); got != n || !settled() {
		t.Errorf("%d questions, want %d", got, n)
	}
}
