package coord

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// Every call of a member with every session that is none: each gets its one answer,
// and no answer has anything of the tailnet in it.
func TestForeignSessionsLearnNothing(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("ours")
		victim := key.NewPrivate()
		member := c.join(victim, c.newInvite("ours", 1), "secret-name")
		as[coordapi.Stored](t, c.report(member.Session.Token, coordapi.Report{Boot: 1, Seq: 1, Home: 4711}))

		for name, f := range foreignSessions(t, c, member) {
			for _, call := range memberCalls(victim.Public()) {
				r := call(c.Handler(), f.token)
				if r.code() != f.code {
					t.Errorf("%s: %d %s, want %s", name, r.status, r.body, f.code)
				}
				for _, ours := range []string{"secret-name", "4711", member.Addresses[0].String()} {
					if bytes.Contains(r.body, []byte(ours)) {
						t.Errorf("%s is told %q: %s", name, ours, r.body)
					}
				}
			}
		}
	})
}

type foreign struct{ token, code string }

func foreignSessions(t *testing.T, c *coordinator, member coordapi.Joined) map[string]foreign {
	t.Helper()
	removed := key.NewPrivate()
	gone := c.join(removed, c.newInvite("ours", 1), "gone")
	again := c.join(removed, c.newInvite("ours", 1), "gone")
	if r := c.admin("DELETE", "tailnets/ours/members/gone", nil); r.status != 200 {
		t.Fatalf("%s", r.body)
	}
	disabled := c.join(key.NewPrivate(), c.newInvite("ours", 1), "off")
	yes := true
	as[coordapi.Member](t, c.admin("PATCH", "tailnets/ours/members/off", coordapi.ChangeMember{Disabled: &yes}))

	other := start(t, coordstore.NewMemory(), nil).ready()
	defer other.stop()
	other.newTailnet("theirs")
	theirs := other.join(key.NewPrivate(), other.newInvite("theirs", 1), "x")

	secrets, err := c.secrets()
	if err != nil {
		t.Fatal(err)
	}
	ses, _ := secrets.parseToken(member.Session.Token)
	expired, early, before := ses, ses, ses
	expired.expires = time.Now().Add(-clockSlack - time.Second).Unix()
	early.expires = time.Now().Add(coordapi.SessionTime + clockSlack + time.Minute).Unix()
	before.joined--
	flipped := []byte(member.Session.Token)
	flipped[len(flipped)/2] ^= 1
	foreignNet := ses
	foreignNet.tailnet = "nothere"
	return map[string]foreign{
		"none": {"", coordapi.CodeUnauthorized}, "garbage": {"garbage", coordapi.CodeUnauthorized},
		"huge":                       {strings.Repeat("A", 5000), coordapi.CodeUnauthorized},
		"of another cluster":         {theirs.Session.Token, coordapi.CodeUnauthorized},
		"forged":                     {string(flipped), coordapi.CodeUnauthorized},
		"expired":                    {secrets.token(expired), coordapi.CodeUnauthorized},
		"of a clock that is ahead":   {secrets.token(early), coordapi.CodeUnauthorized},
		"from before a removal":      {secrets.token(before), coordapi.CodeUnauthorized},
		"a challenge as a session":   {secrets.challenge(), coordapi.CodeUnauthorized},
		"of somebody removed":        {gone.Session.Token, coordapi.CodeNotMember},
		"of somebody removed, again": {again.Session.Token, coordapi.CodeNotMember},
		"of somebody disabled":       {disabled.Session.Token, coordapi.CodeNotMember},
		"of no tailnet":              {secrets.token(foreignNet), coordapi.CodeNotMember},
	}
}

func memberCalls(k key.Public) []func(http.Handler, string) reply {
	var all []func(http.Handler, string) reply
	for _, what := range []struct{ method, path string }{
		{"GET", coordapi.PathWatch}, {"GET", coordapi.PathWatch + "?since=AAAA"}, {"PUT", coordapi.PathSelf},
		{"GET", coordapi.PathPeer + k.String()}, {"GET", coordapi.PathMap},
	} {
		all = append(all, func(h http.Handler, token string) reply {
			return call(h, what.method, what.path, token, coordapi.Report{Boot: 9, Seq: 9, Home: 9})
		})
	}
	return all
}

// A member of one tailnet asks about another's: it is told of its own only.
func TestMembersOfAnotherTailnetLearnNothing(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("ours")
		c.newTailnet("theirs")
		victim, spy := key.NewPrivate(), key.NewPrivate()
		ours := c.join(victim, c.newInvite("ours", 1), "victim")
		theirs := c.join(spy, c.newInvite("theirs", 1), "spy")
		if r := call(c.Handler(), "GET", coordapi.PathPeer+victim.Public().String(), theirs.Session.Token, nil); r.code() != coordapi.CodeNotFound {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := c.tryLogin(spy, ours.Tailnet); r.code() != coordapi.CodeNotMember {
			t.Errorf("%d %s", r.status, r.body)
		}
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, ours.Session.Token, "")
		_, at := w.until(t, coordapi.EventAt)
		w.conn.Close()

		v := watch(t, dial(), coordapi.PathWatch, theirs.Session.Token, at.Cursor) // a cursor of another tailnet
		defer v.conn.Close()
		said, _ := v.until(t, coordapi.EventAt)
		same(t, said, "snapshot", "self spy", "at")
		as[coordapi.Stored](t, c.report(ours.Session.Token, coordapi.Report{Boot: 1, Seq: 1, Home: 5}))
		if e, err := v.next(); err != nil || e.Type != coordapi.EventBeat {
			t.Errorf("%+v, %v: want nothing but a beat", e, err)
		}
	})
}

func TestProofsCountOnce(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		net := c.newTailnet("home")
		k := key.NewPrivate()
		c.join(k, c.newInvite("home", 1), "a")
		ch := as[coordapi.Challenge](t, call(c.Handler(), "POST", coordapi.PathChallenge, "", nil))
		login := coordapi.Login{Tailnet: net.ID, Key: k.Public(), Challenge: ch.Challenge, Proof: coordapi.Prove(k, ch, coordapi.ForLogin, net.ID)}
		wrong := login
		wrong.Key = key.NewPrivate().Public()
		if r := call(c.Handler(), "POST", coordapi.PathLogin, "", wrong); r.code() != coordapi.CodeProof {
			t.Errorf("another key: %s", r.body)
		}
		as[coordapi.Session](t, call(c.Handler(), "POST", coordapi.PathLogin, "", login))
		if r := call(c.Handler(), "POST", coordapi.PathLogin, "", login); r.code() != coordapi.CodeProof {
			t.Errorf("replayed: %s", r.body)
		}
		ch = as[coordapi.Challenge](t, call(c.Handler(), "POST", coordapi.PathChallenge, "", nil))
		login.Challenge, login.Proof = ch.Challenge, coordapi.Prove(k, ch, coordapi.ForLogin, net.ID)
		time.Sleep(challengeTime + time.Second)
		if r := call(c.Handler(), "POST", coordapi.PathLogin, "", login); r.code() != coordapi.CodeProof {
			t.Errorf("too old: %s", r.body)
		}
	})
}

func TestInvites(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		once := c.newInvite("home", 1)
		a := key.NewPrivate()
		first := c.join(a, once, "a")
		if again := c.join(a, once, "other"); again.Name != first.Name || again.Addresses[0] != first.Addresses[0] {
			t.Errorf("%+v, before %+v", again, first)
		}
		damaged, foreign := once, once
		damaged.Secret[0] ^= 1
		foreign.ID[0] ^= 1
		withdrawn, expires := c.newInvite("home", 1), c.newInvite("home", 1)
		for _, i := range as[[]coordapi.InviteState](t, c.admin("GET", "tailnets/home/invites", nil)) {
			if strings.HasPrefix(withdrawn.Credential(), i.ID) {
				c.admin("DELETE", "tailnets/home/invites/"+i.ID, nil)
			}
		}
		for name, want := range map[string]struct{ credential, code string }{
			"used":      {once.Credential(), coordapi.CodeInviteUsed},
			"damaged":   {damaged.Credential(), coordapi.CodeInvite},
			"foreign":   {foreign.Credential(), coordapi.CodeInvite},
			"withdrawn": {withdrawn.Credential(), coordapi.CodeInvite},
			"nothing":   {"", coordapi.CodeInvite},
			"garbage":   {"x.y", coordapi.CodeInvite},
		} {
			if r := c.tryJoin(key.NewPrivate(), want.credential, "b"); r.code() != want.code {
				t.Errorf("%s: %d %s, want %s", name, r.status, r.body, want.code)
			}
		}
		time.Sleep(time.Hour + time.Second)
		if r := c.tryJoin(key.NewPrivate(), expires.Credential(), "b"); r.code() != coordapi.CodeInviteExpired {
			t.Errorf("expired: %s", r.body)
		}
	})
}

// A join whose answer is lost in the middle goes on where it was, and takes one use.
func TestAJoinThatBreaksOffGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		once := c.newInvite("home", 1)
		k := key.NewPrivate()
		c.store.Pause()
		done := make(chan reply)
		go func() { done <- c.tryJoin(k, once.Credential(), "a") }()
		if r := <-done; r.code() != coordapi.CodeUnavailable || r.head.Get("Retry-After") == "" {
			t.Errorf("%d %v %s", r.status, r.head, r.body)
		}
		c.store.Heal()
		if j := c.join(k, once, "a"); j.Name != "a" {
			t.Errorf("%+v", j)
		}
		if r := c.tryJoin(key.NewPrivate(), once.Credential(), "b"); r.code() != coordapi.CodeInviteUsed {
			t.Errorf("%s", r.body)
		}
	})
}

func TestReportsAreOrdered(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		token := c.join(key.NewPrivate(), c.newInvite("home", 1), "a").Session.Token
		writes := func() uint64 { return c.Snapshot().Writes }
		as[coordapi.Stored](t, c.report(token, coordapi.Report{Boot: 2, Seq: 2, Home: 5}))
		before := writes()
		as[coordapi.Stored](t, c.report(token, coordapi.Report{Boot: 2, Seq: 3, Home: 5}))
		as[coordapi.Stored](t, c.report(token, coordapi.Report{Boot: 2, Seq: 4, Home: 0}))
		if writes() != before {
			t.Error("what says nothing new is written")
		}
		var e coordapi.Error
		json.Unmarshal(c.report(token, coordapi.Report{Boot: 1, Seq: 99, Home: 6}).body, &e)
		if e.Code != coordapi.CodeStale || e.Boot != 2 || e.Seq != 2 {
			t.Errorf("%+v", e)
		}
		for name, r := range map[string]coordapi.Report{"home": {Boot: 3, Home: -1}, "version": {Boot: 3, Version: strings.Repeat("v", 65)}, "text": {Boot: 3, Version: "a\nb"}} {
			if r := c.report(token, r); r.code() != coordapi.CodeBadRequest {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		if r := call(c.Handler(), "PUT", coordapi.PathSelf, token, bytes.Repeat([]byte(" "), coordapi.MostBody+1)); r.code() != coordapi.CodeTooLarge {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
}

// Two machines with one key: the one whose boot counts and the other alternate.
func TestTwoMachinesWithOneKey(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		token := c.join(key.NewPrivate(), c.newInvite("home", 1), "a").Session.Token
		from := func(addr string, r coordapi.Report) reply {
			req := newRequest("PUT", coordapi.PathSelf, token, r)
			req.RemoteAddr = addr + ":1"
			return do(c.Handler(), req)
		}
		as[coordapi.Stored](t, from("192.0.2.1", coordapi.Report{Boot: 1, Seq: 1, Home: 5}))
		as[coordapi.Stored](t, from("192.0.2.2", coordapi.Report{Boot: 2, Seq: 1, Home: 6}))
		if r := from("192.0.2.1", coordapi.Report{Boot: 1, Seq: 2, Home: 5}); r.code() != coordapi.CodeStale {
			t.Errorf("%s", r.body)
		}
		if s := as[coordapi.Stored](t, from("192.0.2.2", coordapi.Report{Boot: 2, Seq: 2, Home: 6})); !s.Conflict {
			t.Error("the machine that counts is not told of the other")
		}
		r := c.admin("GET", "tailnets/home/members", nil)
		if !bytes.Contains(r.body, []byte(`"conflict":["192.0.2.2","192.0.2.1"]`)) {
			t.Errorf("%s", r.body)
		}
		time.Sleep((rivalTime + 1) * time.Second)
		if s := as[coordapi.Stored](t, from("192.0.2.2", coordapi.Report{Boot: 2, Seq: 3, Home: 6})); s.Conflict {
			t.Error("the other has not been heard for long, and still counts as one")
		}
	})
}

func TestRelaysAsk(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("ours")
		c.newTailnet("theirs")
		ours, theirs := key.NewPrivate(), key.NewPrivate()
		c.join(ours, c.newInvite("ours", 1), "a")
		c.join(theirs, c.newInvite("theirs", 1), "b")
		relay := as[coordapi.AddedRelay](t, c.admin("POST", "relays", coordapi.NewRelay{Name: "r", Tailnets: []string{"ours"}}))
		ask := func(path, token string, k key.Public) string {
			r := call(c.Handler(), "POST", path, token, map[string]any{"NodePublic": k, "Source": "192.0.2.1"})
			return strings.TrimSpace(string(r.body)) + r.code()
		}
		for _, q := range []struct {
			path, token string
			k           key.Public
			want        string
		}{
			{coordapi.PathVerify, relay.Token, ours.Public(), `{"Allow":true}`},
			{coordapi.PathVerify + "/" + relay.Token, "", ours.Public(), `{"Allow":true}`},
			{coordapi.PathVerify, relay.Token, theirs.Public(), `{"Allow":false}`},
			{coordapi.PathVerify, relay.Token, key.NewPrivate().Public(), `{"Allow":false}`},
		} {
			if got := ask(q.path, q.token, q.k); got != q.want {
				t.Errorf("%s: %s", q.path, got)
			}
		}
		for _, token := range []string{"", "wrong"} {
			if got := ask(coordapi.PathVerify, token, ours.Public()); !strings.Contains(got, coordapi.CodeForbidden) {
				t.Errorf("token %q: %s", token, got)
			}
		}
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathRelayWatch, relay.Token, "")
		said, _ := w.until(t, coordapi.EventAt)
		same(t, said, "snapshot", "at")
		c.admin("DELETE", "tailnets/theirs/members/b", nil)
		yes := true
		c.admin("PATCH", "tailnets/ours/members/a", coordapi.ChangeMember{Disabled: &yes})
		e, err := w.next()
		if err != nil || e.Type != coordapi.EventGone || e.Key != ours.Public() {
			t.Errorf("%+v, %v", e, err)
		}
		_, at := w.until(t, coordapi.EventAt)
		w.conn.Close()
		again := watch(t, dial(), coordapi.PathRelayWatch, relay.Token, at.Cursor)
		defer again.conn.Close()
		said, _ = again.until(t, coordapi.EventAt)
		same(t, said, "resumed", "at")
		c.admin("DELETE", "relays/r", nil)
		if e, err := again.next(); err == nil || err == io.ErrUnexpectedEOF {
			t.Errorf("%+v, %v: want the end", e, err)
		}
		if got := ask(coordapi.PathVerify, relay.Token, ours.Public()); !strings.Contains(got, coordapi.CodeForbidden) {
			t.Errorf("removed: %s", got)
		}
	})
}

// A store that is away closes no stream: they are told that there may be news.
func TestNoStreamIsClosedForTheEngine(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		j := c.join(key.NewPrivate(), c.newInvite("home", 1), "a")
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, j.Session.Token, "")
		defer w.conn.Close()
		_, at := w.until(t, coordapi.EventAt)
		c.store.Break()
		for range 5 {
			if e, err := w.next(); err != nil || e.Type != coordapi.EventBeat || !e.Stale {
				t.Fatalf("%+v, %v", e, err)
			}
		}
		v := watch(t, dial(), coordapi.PathWatch, j.Session.Token, at.Cursor)
		defer v.conn.Close()
		if e, err := v.next(); err != nil || e.Type != coordapi.EventResumed || !e.Stale {
			t.Errorf("%+v, %v", e, err)
		}
		if r := c.report(j.Session.Token, coordapi.Report{Boot: 1, Seq: 1, Home: 5}); r.code() != coordapi.CodeUnavailable {
			t.Errorf("%s", r.body)
		}
		c.store.Heal()
		for stale := true; stale; {
			e, err := w.next()
			if err != nil {
				t.Fatal(err)
			}
			stale = e.Stale
		}
		as[coordapi.Stored](t, c.report(j.Session.Token, coordapi.Report{Boot: 1, Seq: 1, Home: 5}))
		w.until(t, coordapi.EventSelf)
	})
}

// A stream that is open gets another session before its own ends.
func TestSessionsAreRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		j := c.join(key.NewPrivate(), c.newInvite("home", 1), "a")
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, j.Session.Token, "")
		defer w.conn.Close()
		for range 4 {
			_, e := w.until(t, coordapi.EventSession)
			if left := time.Until(e.Session.Expires); left < coordapi.SessionTime-time.Second {
				t.Errorf("renewed for %v", left)
			}
			as[coordapi.Stored](t, c.report(e.Session.Token, coordapi.Report{Boot: 1, Seq: 1, Home: 5}))
		}
		if r := c.report(j.Session.Token, coordapi.Report{Boot: 1, Seq: 2, Home: 5}); r.code() != coordapi.CodeUnauthorized {
			t.Errorf("%s", r.body)
		}
	})
}

// A third stream of a member takes the place of the oldest.
func TestAMemberHasTwoStreams(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		j := c.join(key.NewPrivate(), c.newInvite("home", 1), "a")
		dial, stop := c.serve()
		defer stop()
		var all []*watcher
		for range 3 {
			w := watch(t, dial(), coordapi.PathWatch, j.Session.Token, "")
			defer w.conn.Close()
			w.until(t, coordapi.EventAt)
			all = append(all, w)
		}
		if e, err := all[0].next(); err != nil || e.Type != coordapi.EventMove {
			t.Errorf("%+v, %v", e, err)
		}
		if e, err := all[1].next(); err != nil || e.Type != coordapi.EventBeat {
			t.Errorf("%+v, %v", e, err)
		}
		if p := as[coordapi.Peer](t, call(c.Handler(), "GET", coordapi.PathPeer+c.state.Members(j.Tailnet)[0].Key.String(), j.Session.Token, nil)); p.Online == nil || !*p.Online {
			t.Errorf("%+v", p)
		}
	})
}

// A coordinator does not believe what it has written itself, half a minute ago, of who is
// online.
func TestOfflineAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		c.newTailnet("home")
		j := c.join(key.NewPrivate(), c.newInvite("home", 1), "a")
		dial, stop := c.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, j.Session.Token, "")
		read := make(chan struct{})
		go func() { defer close(read); io.Copy(io.Discard, w.conn) }()
		online := func() int { return as[coordapi.Tailnet](t, c.admin("GET", "tailnets/home", nil)).Online }
		time.Sleep(time.Minute)
		if online() != 1 {
			t.Error("who has a stream is not online")
		}
		w.conn.Close()
		<-read
		synctest.Wait()
		if online() != 0 {
			t.Error("who has gone is online still")
		}
	})
}

// Another coordinator knows within a minute who is online here, and that this one has
// gone.
func TestOnlineElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := coordstore.NewMemory()
		a, b := start(t, store, nil).ready(), start(t, store.Share(), nil).ready()
		defer b.stop()
		a.newTailnet("home")
		j := a.join(key.NewPrivate(), a.newInvite("home", 1), "a")
		dial, stop := a.serve()
		defer stop()
		w := watch(t, dial(), coordapi.PathWatch, j.Session.Token, "")
		defer w.conn.Close()
		go io.Copy(io.Discard, w.conn)
		online := func() int { return as[coordapi.Tailnet](t, b.admin("GET", "tailnets/home", nil)).Online }
		time.Sleep(time.Minute)
		if online() != 1 {
			t.Error("b does not know who is online at a")
		}
		writes := a.Snapshot().Writes
		time.Sleep(time.Hour)
		if n := a.Snapshot().Writes - writes; n > 181 {
			t.Errorf("%d writes in an hour in which nothing happens", n)
		}
		a.stop()
		synctest.Wait()
		if online() != 0 {
			t.Error("a has gone, and b still counts its streams")
		}
	})
}

// A report that was under way when its member was removed, and joined again, would
// have nothing later to be compared with.
func TestAReportOfAFormerMembershipIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, c *coordinator) {
		net := c.newTailnet("home")
		i, own := c.newInvite("home", 2), key.NewPrivate()
		before := c.join(own, i, "anna")
		as[coordapi.Stored](t, c.report(before.Session.Token, coordapi.Report{Boot: 1, Seq: 2, Home: 6}))
		ses, err := c.openSession(before.Session.Token)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.remove(t.Context(), net.ID, own.Public()); err != nil {
			t.Fatal(err)
		}
		c.join(own, i, "anna")
		_, err = c.Service.report(t.Context(), ses, coordapi.Report{Boot: 1, Seq: 1, Home: 5}, netip.Addr{})
		if err == nil || refusal(err).Code != coordapi.CodeUnauthorized {
			t.Errorf("a report of the membership before: %v", err)
		}
		if m, _ := c.state.Find(net.ID, own.Public()); m.Soft.Home != 0 {
			t.Errorf("it has been taken: %+v", m.Soft)
		}
	})
}
