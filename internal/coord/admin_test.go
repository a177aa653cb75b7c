package coord

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

func testMap(regions, nodes int) *derpmap.Map {
	m := &derpmap.Map{Regions: map[int]*derpmap.Region{}}
	for r := 900; r < 900+regions; r++ {
		region := &derpmap.Region{RegionID: r, RegionCode: fmt.Sprintf("r%d", r), RegionName: fmt.Sprintf("R %d", r)}
		for n := range nodes {
			region.Nodes = append(region.Nodes, &derpmap.Node{Name: fmt.Sprintf("%d%c", r, 'a'+n), RegionID: r, HostName: fmt.Sprintf("n%d-%d.example.com", r, n)})
		}
		m.Regions[r] = region
	}
	return m
}

func mapText(m *derpmap.Map) []byte {
	text, _ := json.Marshal(m)
	return text
}

func TestMapsAreHandedOutInTheTailnetsOrder(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		net := c.newTailnet("home")
		token := c.join(key.NewPrivate(), c.newInvite("home", 1), "a").Session.Token
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, token, "")
		defer w.conn.Close()
		w.until(t, coordapi.EventAt)
		m := testMap(4, 3)
		if r := c.admin("PUT", "map", mapText(m)); r.status != 200 {
			t.Fatalf("%s", r.body)
		}
		start := time.Now()
		_, e := w.until(t, coordapi.EventMap)
		if want := coordstate.MapFor(m, net.ID); !bytes.Equal(e.Map, want) || time.Since(start) > time.Second {
			t.Errorf("%s, want %s", e.Map, want)
		}
		_, at := w.until(t, coordapi.EventAt)
		r := call(c.Handler(), "GET", coordapi.PathMap, token, nil)
		if !bytes.Equal(r.body, e.Map) {
			t.Errorf("%s", r.body)
		}
		again := newRequest("GET", coordapi.PathMap, token, nil)
		again.Header.Set("If-None-Match", r.head.Get("ETag"))
		if r := do(c.Handler(), again); r.status != 304 || len(r.body) > 0 {
			t.Errorf("%d %s", r.status, r.body)
		}
		w.conn.Close()
		v := watch(t, dial(), coordapi.PathWatch, token, at.Cursor)
		defer v.conn.Close()
		said, _ := v.until(t, coordapi.EventAt)
		same(t, said, "resumed", "at")
	})
}

func TestMapsThatAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		if r := c.admin("PUT", "map", mapText(testMap(4, 2))); r.status != 200 {
			t.Fatalf("%s", r.body)
		}
		before := as[coordapi.MapState](t, c.admin("GET", "map", nil))
		for name, text := range map[string][]byte{
			"empty": []byte("{}"), "broken": []byte(`{"Regions":{`), "nothing": nil, "no regions": []byte(`{"Regions":{}}`),
			"half the regions": mapText(testMap(2, 4)), "half the nodes": mapText(testMap(4, 1)),
		} {
			if r := c.admin("PUT", "map", text); r.status == 200 {
				t.Errorf("%s: is taken", name)
			}
		}
		if err := c.SetMap(testMap(2, 1), "a file"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if after := as[coordapi.MapState](t, c.admin("GET", "map", nil)); after.Version != before.Version || c.Snapshot().MapError == "" {
			t.Errorf("%+v, %q", after, c.Snapshot().MapError)
		}
		if r := c.admin("PUT", "map?force=1", mapText(testMap(2, 1))); r.status != 200 {
			t.Errorf("%s", r.body)
		}
	})
}

// Two coordinators with one file: one write.
func TestTheSameMapIsWrittenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := coordstore.NewMemory()
		a, b := start(t, store, nil).ready(), start(t, store.Share(), nil).ready()
		defer a.stop()
		defer b.stop()
		for range 3 {
			a.SetMap(testMap(1, 2), "a.json")
			b.SetMap(testMap(1, 2), "b.json")
			time.Sleep(time.Minute)
		}
		since := a.state.Map()
		time.Sleep(time.Hour)
		if m := b.state.Map(); m.Revision != since.Revision || m.Map == nil {
			t.Errorf("%+v, before %+v", m, since)
		}
	})
}

func TestOperatorsChangeMembers(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		i := c.newInvite("home", 3)
		a, b := key.NewPrivate(), key.NewPrivate()
		ja := c.join(a, i, "a")
		c.join(b, i, "b")
		if r := c.admin("PATCH", "tailnets/home/members/a", coordapi.ChangeMember{Name: "b"}); r.code() != coordapi.CodeConflict {
			t.Errorf("%s", r.body)
		}
		if m := as[coordapi.Member](t, c.admin("PATCH", "tailnets/home/members/"+a.Public().String(), coordapi.ChangeMember{Name: "c"})); m.Name != "c" {
			t.Errorf("%+v", m)
		}
		for _, off := range []bool{true, false} {
			as[coordapi.Member](t, c.admin("PATCH", "tailnets/home/members/c", coordapi.ChangeMember{Disabled: &off}))
			if r := c.tryLogin(a, ja.Tailnet); (r.code() == coordapi.CodeNotMember) != off {
				t.Errorf("disabled %v: %d %s", off, r.status, r.body)
			}
		}
		if r := c.admin("POST", "tailnets", coordapi.NewTailnet{Name: "home"}); r.code() != coordapi.CodeConflict {
			t.Errorf("%s", r.body)
		}
		if n := as[coordapi.Tailnet](t, c.admin("PATCH", "tailnets/home", coordapi.Rename{Name: "house"})); n.Name != "house" || n.Members != 2 {
			t.Errorf("%+v", n)
		}
		if r := c.admin("GET", "tailnets/home", nil); r.code() != coordapi.CodeNotFound {
			t.Errorf("%s", r.body)
		}
		if r := c.admin("DELETE", "tailnets/house", nil); r.status != 200 {
			t.Errorf("%s", r.body)
		}
		if r := c.tryLogin(a, ja.Tailnet); r.code() != coordapi.CodeNotMember {
			t.Errorf("%s", r.body)
		}
		time.Sleep(time.Hour)
		if left := c.state.Lingering(10); len(left) > 0 {
			t.Errorf("%d records are left: %v", len(left), left)
		}
	})
}

// Sessions, tokens, invites and members live on in another cluster.
func TestExportAndImport(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		i := c.newInvite("home", 9)
		a := key.NewPrivate()
		j := c.join(a, i, "a")
		for n := range 8 {
			c.join(key.NewPrivate(), i, fmt.Sprintf("m%d", n))
		}
		i = c.newInvite("home", 2)
		relay := as[coordapi.AddedRelay](t, c.admin("POST", "relays", coordapi.NewRelay{Name: "r"}))
		c.admin("PUT", "map", mapText(testMap(1, 1)))
		text := c.admin("GET", "export", nil).body
		if bytes.Contains(text, []byte(strings.Split(i.Credential(), ".")[1])) {
			t.Error("the export has the secret of an invite")
		}
		to := start(t, coordstore.NewMemory(), nil).ready()
		defer to.stop()
		done := as[coordapi.Imported](t, to.admin("POST", "import", text))
		if want := (coordapi.Imported{Tailnets: 1, Members: 9, Invites: 2, Relays: 1}); done != want {
			t.Errorf("%+v, want %+v", done, want)
		}
		as[coordapi.Stored](t, to.report(j.Session.Token, coordapi.Report{Boot: 1, Seq: 1, Home: 5}))
		if r := call(to.Handler(), "POST", coordapi.PathVerify, relay.Token, map[string]any{"NodePublic": a.Public()}); !strings.Contains(string(r.body), "true") {
			t.Errorf("%s", r.body)
		}
		if b := to.join(key.NewPrivate(), i, "a"); b.Name != "a-2" {
			t.Errorf("%+v", b)
		}
		again := as[coordapi.Imported](t, to.admin("POST", "import", text))
		if again.Tailnets+again.Members+again.Invites+again.Relays != 0 || again.Kept != 1+9+1+1+1 {
			t.Errorf("%+v", again)
		}
		for name, bad := range map[string][]byte{"nothing": nil, "text": []byte("hello\n"), "half": text[:len(text)-20]} {
			if r := to.admin("POST", "import", bad); r.code() != coordapi.CodeBadRequest {
				t.Errorf("%s: %d %s", name, r.status, r.body)
			}
		}
	})
}

// All of the hard bucket is lost: nobody is a member, streams end; after an import
// those who have a session go on.
func TestTheHardBucketIsMadeAnew(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		j := c.join(key.NewPrivate(), c.newInvite("home", 1), "a")
		text := c.admin("GET", "export", nil).body
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, j.Session.Token, "")
		defer w.conn.Close()
		w.until(t, coordapi.EventAt)
		c.store.Remake(coordstore.Hard)
		w.until(t, coordapi.EventRemoved)
		time.Sleep(time.Minute)
		if done := as[coordapi.Imported](t, c.admin("POST", "import", text)); done.Members != 1 {
			t.Errorf("%+v", done)
		}
		v := watch(t, dial(), coordapi.PathWatch, j.Session.Token, "")
		defer v.conn.Close()
		v.until(t, coordapi.EventAt)
	})
}

func TestDrainMovesAll(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		j := c.join(key.NewPrivate(), c.newInvite("home", 1), "a")
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, j.Session.Token, "")
		defer w.conn.Close()
		w.until(t, coordapi.EventAt)
		go c.Drain(context.Background(), 10*time.Second)
		w.until(t, coordapi.EventMove)
		if _, err := w.next(); err == nil {
			t.Error("the stream goes on")
		}
		if r := call(c.Handler(), "GET", coordapi.PathWatch, j.Session.Token, nil); r.code() != coordapi.CodeUnavailable {
			t.Errorf("%s", r.body)
		}
		time.Sleep(time.Minute)
	})
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, coordstore.NewMemory(), func(c *Config) {
			c.Limits = Limits{Source: rate.Limit{PerSecond: 1, Burst: 3}, Total: rate.Limit{PerSecond: 100, Burst: 100}, Sources: 50}
		}).ready()
		defer c.stop()
		ask := func(addr string) reply {
			r := newRequest("POST", coordapi.PathChallenge, "", nil)
			r.RemoteAddr = addr
			r.Header.Set("X-Forwarded-For", fmt.Sprint(time.Now()))
			return do(c.Handler(), r)
		}
		for n := range 5 {
			if r := ask(fmt.Sprintf("[2001:db8::%d]:9", n)); (r.status == 200) != (n < 3) || n >= 3 && r.head.Get("Retry-After") == "" {
				t.Errorf("%d: %d %v", n, r.status, r.head)
			}
		}
		for n := range 200 {
			ask(fmt.Sprintf("192.0.2.%d:9", n))
		}
		c.sources.mu.Lock()
		if n := len(c.sources.buckets); n > 50 {
			t.Errorf("%d sources are remembered", n)
		}
		c.sources.mu.Unlock()
		time.Sleep(time.Minute)
		if r := ask("198.51.100.1:9"); r.status != 200 {
			t.Errorf("somebody new: %s", r.body)
		}
	})
}

// Whatever is sent, by whomever: one clear answer, and nothing breaks.
func FuzzBodies(f *testing.F) {
	for which := range 6 {
		f.Add(which, []byte(`{"invite":"a.b","key":"x","challenge":"","proof":"","tailnet":"t","name":"n"}`))
		f.Add(which, []byte(`{"detour_export":1}`+"\n"+`{"tailnet":{"id":"x","name":"y"}}`))
	}
	f.Fuzz(func(t *testing.T, which int, b []byte) {
		bubble(t, func(t *testing.T, c *coordinator) {
			c.newTailnet("home")
			j := c.join(key.NewPrivate(), c.newInvite("home", 1), "a")
			calls := []struct {
				method, path string
				admin        bool
			}{
				{"POST", coordapi.PathJoin, false}, {"POST", coordapi.PathLogin, false}, {"PUT", coordapi.PathSelf, false},
				{"POST", coordapi.PathVerify, false}, {"PUT", coordapi.PathAdmin + "map", true}, {"POST", coordapi.PathAdmin + "import", true},
				{"PATCH", coordapi.PathAdmin + "tailnets/home/members/a", true}, {"POST", coordapi.PathAdmin + "relays", true},
			}
			what := calls[uint(which)%uint(len(calls))]
			h := c.Handler()
			if what.admin {
				h = c.AdminHandler()
			}
			r := call(h, what.method, what.path, j.Session.Token, b)
			if r.status >= 500 && r.code() != coordapi.CodeUnavailable || r.status != 200 && r.code() == "" {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	})
}

func FuzzTokens(f *testing.F) {
	value := coordstate.Encode(newSecrets())
	c, _ := parseSecrets(value)
	f.Add(c.token(session{tailnet: "t", joined: 1, expires: 2}))
	f.Add(c.challenge())
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := c.parseToken(text); ok && c.token(s) != text {
			t.Errorf("%q is taken for %+v", text, s)
		}
		c.checkChallenge(text)
		// What is beneath the seal is read as it is, too.
		said, _ := tokenText.DecodeString(text)
		if s, ok := c.parseToken(tokenText.EncodeToString(c.seal("session", said))); ok && s.tailnet == "" && len(said) > 200 {
			t.Errorf("%+v", s)
		}
	})
}
