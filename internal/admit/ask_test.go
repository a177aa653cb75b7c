package admit

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A played source answers as the test says.
type played struct {
	mu    sync.Mutex
	says  func(ctx context.Context, k key.Public) (bool, error)
	asked map[key.Public]int
	now   int // questions under way
	most  int
}

func (p *played) Ask(ctx context.Context, k key.Public, _ netip.Addr) (bool, error) {
	p.mu.Lock()
	if p.asked == nil {
		p.asked = map[key.Public]int{}
	}
	p.asked[k]++
	p.now++
	p.most = max(p.most, p.now)
	says := p.says
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.now--
		p.mu.Unlock()
	}()
	return says(ctx, k)
}

func (p *played) Check(context.Context) error { return nil }
func (p *played) Close()                      {}

func (p *played) say(says func(ctx context.Context, k key.Public) (bool, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.says = says
}

func (p *played) count(k key.Public) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[k]
}

func always(allow bool, err error) func(context.Context, key.Public) (bool, error) {
	return func(context.Context, key.Public) (bool, error) { return allow, err }
}

func hang(ctx context.Context, _ key.Public) (bool, error) {
	<-ctx.Done()
	return false, context.Cause(ctx)
}

// asking makes a chain that asks the played sources, which say yes at first.
func asking(t *testing.T, cfg Config, n int) (*Chain, []*played) {
	t.Helper()
	cfg.Access.Managed = true
	if cfg.Access.Grace == 0 {
		cfg.Access.Grace = config.Duration(24 * time.Hour)
	}
	c := newChain(t, cfg)
	r := *c.rules.Load()
	var all []*played
	for i := range n {
		p := &played{says: always(true, nil)}
		kind := []string{SourceVerify, SourceTailscaled}[i%2]
		r.sources = append(r.sources, newSource(kind, string(rune('a'+i)), "it", p))
		all = append(all, p)
	}
	c.rules.Store(&r)
	return c, all
}

// inTime is what becomes of an applicant, and how long that takes.
func inTime(c *Chain, p key.Public) (source string, why Reason, took time.Duration) {
	began := time.Now()
	source, why = outcome(c, applicant(p))
	return source, why, time.Since(began)
}

func TestStrangersComeInByAYesOnly(t *testing.T) {
	for name, c := range map[string]struct {
		says   func(context.Context, key.Public) (bool, error)
		source string
		why    Reason
		took   time.Duration
	}{
		"yes":    {always(true, nil), SourceVerify, "", 0},
		"no":     {always(false, nil), SourceVerify, Denied, 0},
		"cannot": {always(false, errors.New("status 500")), SourceNone, Unanswered, 0},
		"lies":   {always(true, errors.New("status 500")), SourceNone, Unanswered, 0},
		"hangs":  {hang, SourceNone, Unanswered, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain, sources := asking(t, Config{}, 1)
				sources[0].say(c.says)
				if source, why, took := inTime(chain, k(1)); source != c.source || why != c.why || took != c.took {
					t.Errorf("%s %q after %v, want %s %q after %v", source, why, took, c.source, c.why, c.took)
				}
			})
		})
	}
}

func TestKnownKeysStayWhileNobodyAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		age    time.Duration
		says   func(context.Context, key.Public) (bool, error)
		source string
		why    Reason
		took   time.Duration
		then   string // who lets in a moment later
	}{
		"a moment ago, hangs":  {4 * time.Minute, hang, SourceVerify, "", 0, SourceVerify},
		"a moment ago, no":     {4 * time.Minute, always(false, nil), SourceVerify, "", 0, ""},
		"some time ago, hangs": {time.Hour, hang, SourceGrace, "", time.Second, SourceGrace},
		"some time ago, fails": {time.Hour, always(false, errors.New("refused")), SourceGrace, "", 0, SourceGrace},
		"some time ago, yes":   {time.Hour, always(true, nil), SourceVerify, "", 0, SourceVerify},
		"some time ago, no":    {time.Hour, always(false, nil), SourceVerify, Denied, 0, ""},
		"just within grace":    {24*time.Hour - 3*time.Second, hang, SourceGrace, "", time.Second, SourceGrace},
		"too long ago, hangs":  {24*time.Hour + time.Second, hang, SourceNone, Unanswered, 5 * time.Second, ""},
		"too long ago, yes":    {24*time.Hour + time.Second, always(true, nil), SourceVerify, "", 0, SourceVerify},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				chain, sources := asking(t, Config{}, 1)
				if source, _ := outcome(chain, applicant(k(1))); source != SourceVerify {
					t.Fatal(source)
				}
				time.Sleep(c.age)
				sources[0].say(c.says)
				source, why, took := inTime(chain, k(1))
				if source != c.source || why != c.why || took != c.took {
					t.Errorf("%s %q after %v, want %s %q after %v", source, why, took, c.source, c.why, c.took)
				}
				synctest.Wait()
				source, why, _ = inTime(chain, k(1))
				if (why == "") != (c.then != "") || why == "" && source != c.then {
					t.Errorf("then %s %q, want %q", source, why, c.then)
				}
			})
		})
	}
}

func TestOneQuestionAboutAKeyAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 1)
		answer := make(chan struct{})
		sources[0].say(func(context.Context, key.Public) (bool, error) { <-answer; return true, nil })
		var all sync.WaitGroup
		for range mostSame {
			all.Go(func() {
				if source, why := outcome(c, applicant(k(1))); source != SourceVerify || why != "" {
					t.Errorf("%s %q", source, why)
				}
			})
		}
		synctest.Wait()
		close(answer)
		all.Wait()
		if n := sources[0].count(k(1)); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// The measure of the issue, in the time of the test: every source hangs, strangers make
// us ask as much as they can, and 2,000 known keys come at once.
func TestKnownKeysComeInWhileEverySourceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 2)
		for n := range 2000 {
			outcome(c, applicant(k(n)))
		}
		time.Sleep(time.Hour)
		for _, s := range sources {
			s.say(hang)
		}
		var strangers, known sync.WaitGroup
		busy := make(chan Reason, 5000)
		for n := range 5000 {
			strangers.Go(func() {
				_, why := outcome(c, applicant(k(10_000+n)))
				busy <- why
			})
		}
		synctest.Wait()
		began := time.Now()
		for n := range 2000 {
			known.Go(func() {
				if _, why := outcome(c, applicant(k(n))); why != "" {
					t.Errorf("key %d is refused: %s", n, why)
				}
			})
		}
		known.Wait()
		if took := time.Since(began); took > patience {
			t.Errorf("it took %v", took)
		}
		strangers.Wait()
		close(busy)
		by := map[Reason]int{}
		for why := range busy {
			by[why]++
		}
		if by[Unanswered] != mostStrangers || by[Busy] != 5000-mostStrangers {
			t.Errorf("strangers: %v", by)
		}
		synctest.Wait()
		sources[0].mu.Lock()
		most := sources[0].most
		sources[0].mu.Unlock()
		if most > 2*atOnce {
			t.Errorf("%d questions at once", most)
		}
	})
}

// One stranger cannot have us hold as many connections as he makes.
func TestLoginsOfAStrangerAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 1)
		sources[0].say(hang)
		var all sync.WaitGroup
		busy := make(chan Reason, 1000)
		for range cap(busy) {
			all.Go(func() {
				_, why := outcome(c, applicant(k(1)))
				busy <- why
			})
		}
		synctest.Wait()
		if n := cap(busy) - len(busy); n > mostSame {
			t.Errorf("%d wait", n)
		}
		all.Wait()
		for range cap(busy) {
			if why := <-busy; why != Busy && why != Unanswered {
				t.Errorf("%s", why)
			}
		}
	})
}

// A stranger that leaves takes the question along, and who comes after it is asked
// about anew.
func TestStrangersThatLeaveAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 1)
		sources[0].say(hang)
		ctx, leave := context.WithCancel(context.Background())
		var gone sync.WaitGroup
		gone.Go(func() {
			if _, err := c.Admit(ctx, applicant(k(1))); err == nil {
				t.Error("admitted")
			}
		})
		synctest.Wait()
		leave()
		gone.Wait()
		synctest.Wait()
		if strangers, _ := c.questions.counts(); strangers != 0 {
			t.Errorf("%d questions are left", strangers)
		}
		if n := c.Snapshot().Refused[Unanswered]; n != 0 {
			t.Errorf("who leaves is counted as refused: %d", n)
		}
		if s := sources[0]; s.count(k(1)) != 1 || c.rules.Load().sources[0].state().Failed != 0 {
			t.Errorf("asked %d times; a stranger that leaves is no failure of the source: %+v", s.count(k(1)), c.rules.Load().sources[0].state())
		}
		sources[0].say(always(true, nil))
		if source, _, took := inTime(c, k(1)); source != SourceVerify || took != 0 {
			t.Errorf("%s after %v", source, took)
		}
	})
}

func TestTheFirstYesWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 3)
		sources[0].say(hang)
		sources[1].say(always(true, nil))
		sources[2].say(always(false, nil))
		if source, _, took := inTime(c, k(1)); source != SourceTailscaled || took != 0 {
			t.Errorf("%s after %v", source, took)
		}
	})
}

// One source says no, another cannot answer: it is a no if the first has confirmed the
// key, for the other never has.
func TestANoCountsOfWhoHasConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 2)
		sources[0].say(always(true, nil))
		sources[1].say(always(false, nil))
		outcome(c, applicant(k(1))) // by the first
		sources[0].say(always(false, nil))
		sources[1].say(always(true, nil))
		outcome(c, applicant(k(2))) // by the second
		time.Sleep(time.Hour)
		sources[1].say(always(false, errors.New("away")))
		if source, why, _ := inTime(c, k(1)); why != Denied || source != SourceVerify {
			t.Errorf("who confirmed it says no, yet %s %q", source, why)
		}
		if source, why, _ := inTime(c, k(2)); why != "" || source != SourceGrace {
			t.Errorf("who confirmed it is away, yet %s %q", source, why)
		}
		if _, why, _ := inTime(c, k(3)); why != Unanswered {
			t.Errorf("a stranger: %q", why)
		}
	})
}

func TestANoIsRememberedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 1)
		sources[0].say(always(false, nil))
		for range 10 {
			outcome(c, applicant(k(1)))
		}
		if n := sources[0].count(k(1)); n != 1 {
			t.Errorf("asked %d times", n)
		}
		sources[0].say(always(true, nil))
		time.Sleep(refusedFor)
		if source, why := outcome(c, applicant(k(1))); why != "" {
			t.Errorf("%s %q", source, why)
		}
	})
}

func TestWhoIsBannedWhileWaitingStaysOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 1)
		answer := make(chan struct{})
		sources[0].say(func(context.Context, key.Public) (bool, error) { <-answer; return true, nil })
		var waits sync.WaitGroup
		waits.Go(func() {
			if source, why := outcome(c, applicant(k(1))); source != SourceBan || why != Banned {
				t.Errorf("%s %q", source, why)
			}
		})
		synctest.Wait()
		if err := c.Ban(Ban{Key: k(1)}); err != nil {
			t.Fatal(err)
		}
		close(answer)
		waits.Wait()
	})
}

func TestRevocationIsLive(t *testing.T) {
	connect := func(h *house, all ...key.Public) {
		for _, p := range all {
			h.join(relay.PeerState{Peer: p})
		}
	}
	for name, c := range map[string]struct {
		revoke func(t *testing.T, c *Chain, sources []*played)
		why    error
	}{
		"banned":  {func(t *testing.T, c *Chain, _ []*played) { must(t, c.Ban(Ban{Key: k(1)})) }, relay.ErrBanned},
		"removed": {func(t *testing.T, c *Chain, _ []*played) { must(t, c.Remove(k(1))) }, relay.ErrRevoked},
		"imported without it": {func(t *testing.T, c *Chain, _ []*played) {
			must(t, c.Remove(k(1)))
			if _, err := c.Import("net", []Entry{{Key: k(9)}}); err != nil {
				t.Error(err)
			}
		}, relay.ErrRevoked},
		"ended sooner": {func(t *testing.T, c *Chain, _ []*played) {
			must(t, c.Allow(Entry{Key: k(1), Until: time.Now().Add(time.Minute)}))
			time.Sleep(time.Minute)
		}, relay.ErrRevoked},
		"other settings": {func(t *testing.T, c *Chain, _ []*played) {
			access := config.Access{Keys: []string{writeFile(t, "keys", k(2).String())}}
			must(t, c.Remove(k(1)))
			must(t, c.Update(Config{Access: access}))
		}, relay.ErrRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &house{}
				chain, sources := asking(t, Config{Peers: h, Exempt: func(p key.Public) bool { return p == k(3) }}, 0)
				stop := running(t, chain)
				defer stop()
				must(t, chain.Allow(Entry{Key: k(1)}))
				must(t, chain.Allow(Entry{Key: k(2)}))
				connect(h, k(1), k(2), k(3))
				h.join(relay.PeerState{Peer: k(4), Sibling: true})
				time.Sleep(time.Minute)
				if n := h.left(); n != 4 {
					t.Fatalf("%d are left of 4", n)
				}
				c.revoke(t, chain, sources)
				time.Sleep(time.Second)
				if err := h.ended(k(1)); !errors.Is(err, c.why) {
					t.Errorf("ended by %v, want %v", err, c.why)
				}
				for n := 2; n <= 4; n++ {
					if err := h.ended(k(n)); err != nil {
						t.Errorf("key %d: %v", n, err)
					}
				}
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// Who is being admitted while it is banned is connected a moment later.
func TestWhoSlipsInIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		c, _ := asking(t, Config{Peers: h}, 0)
		stop := running(t, c)
		defer stop()
		must(t, c.Ban(Ban{Key: k(1)}))
		h.join(relay.PeerState{Peer: k(1)})
		time.Sleep(time.Second)
		if err := h.ended(k(1)); err != relay.ErrBanned {
			t.Errorf("%v", err)
		}
	})
}

// Connected keys are asked about again, each in its own time, and leave by a no.
func TestTheConnectedAreAskedAboutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		c, sources := asking(t, Config{Peers: h}, 1)
		stop := running(t, c)
		defer stop()
		const n = 1000
		for i := range n {
			p := k(i)
			p[0], p[1] = byte(i*65), byte(i) // as spread as real keys are
			outcome(c, applicant(p))
			h.join(relay.PeerState{Peer: p})
		}
		asked := func() (total int) {
			sources[0].mu.Lock()
			defer sources[0].mu.Unlock()
			for _, times := range sources[0].asked {
				total += times
			}
			return total - n
		}
		time.Sleep(askAgain - time.Second)
		if asked() != 0 {
			t.Errorf("asked again after %v: %d", askAgain, asked())
		}
		for minute := range 5 {
			before := asked()
			time.Sleep(time.Minute)
			if more := asked() - before; more < n/10 || more > n/3 {
				t.Errorf("minute %d: asked about %d of %d", minute, more, n)
			}
		}
		sources[0].say(always(false, nil))
		time.Sleep(askAgain + askSpread + tend + time.Second)
		if left := h.left(); left != 0 {
			t.Errorf("%d stay", left)
		}
		if s := c.Snapshot(); s.Decisions[SourceVerify].Revoked != n || s.Known != 0 {
			t.Errorf("%+v, %d known", s.Decisions, s.Known)
		}
	})
}

// While the source is away, nobody is thrown out before the time of grace is over.
func TestGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		c, sources := asking(t, Config{Peers: h}, 1)
		stop := running(t, c)
		defer stop()
		outcome(c, applicant(k(1)))
		h.join(relay.PeerState{Peer: k(1)})
		sources[0].say(always(false, errors.New("away")))
		time.Sleep(24*time.Hour - time.Second)
		if err := h.ended(k(1)); err != nil {
			t.Errorf("within grace: %v", err)
		}
		if s := c.Snapshot(); len(s.Away()) != 1 || !s.Sources[0].Away || s.Sources[0].Since == nil || s.Errors[SourceVerify] == 0 {
			t.Errorf("%+v", s.Sources)
		}
		time.Sleep(2 * tend)
		if err := h.ended(k(1)); err != relay.ErrRevoked {
			t.Errorf("after grace: %v", err)
		}
	})
}

// A source that has come back is noticed without a login.
func TestSourcesThatComeBackAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, sources := asking(t, Config{}, 1)
		stop := running(t, c)
		defer stop()
		outcome(c, applicant(k(1)))
		time.Sleep(time.Hour)
		sources[0].say(always(false, errors.New("away")))
		outcome(c, applicant(k(1)))
		if s := c.Snapshot(); !s.Sources[0].Away {
			t.Errorf("%+v", s.Sources)
		}
		sources[0].say(always(true, nil))
		time.Sleep(2 * probe)
		if s := c.Snapshot(); s.Sources[0].Away {
			t.Errorf("%+v", s.Sources)
		}
	})
}

// Who is connected when a source comes to decide is asked about before anybody is closed.
func TestTheConnectedAreAskedAboutFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		c, _ := asking(t, Config{Peers: h}, 0)
		stop := running(t, c)
		defer stop()
		must(t, c.Update(Config{Access: config.Access{Everyone: true}}))
		const n = mostKnown + 500 // more than are asked about at once
		for i := range n {
			h.join(relay.PeerState{Peer: k(i)})
		}
		verify := &played{says: func(_ context.Context, p key.Public) (bool, error) {
			time.Sleep(10 * time.Millisecond)
			switch {
			case p == k(0):
				return false, nil
			case p == k(1):
				return false, errors.New("status 500")
			}
			return true, nil
		}}
		time.Sleep(time.Minute)
		r := *c.rules.Load()
		r.access, r.everyone, r.timeout, r.grace = config.Access{Verify: []string{"x"}}, false, 5*time.Second, time.Hour
		r.sources = []*source{newSource(SourceVerify, "x", "x", verify)}
		c.askFirst(&r, time.Now())
		c.rules.Store(&r)
		c.revoking.sweep("")
		time.Sleep(time.Minute)
		if h.left() != n-2 || h.ended(k(0)) != relay.ErrRevoked || h.ended(k(1)) != relay.ErrRevoked {
			t.Errorf("%d stay; %v and %v", h.left(), h.ended(k(0)), h.ended(k(1)))
		}
		if known := c.Snapshot().Known; known != n-2 {
			t.Errorf("%d are known", known)
		}
	})
}

// While a source is known to be away, known keys do not wait for it; once it is back, its
// no is heard.
func TestNobodyWaitsForSourcesThatAreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		c, sources := asking(t, Config{Peers: h}, 1)
		stop := running(t, c)
		defer stop()
		for n := range 2 {
			outcome(c, applicant(k(n)))
		}
		time.Sleep(time.Hour)
		sources[0].say(hang)
		if _, _, took := inTime(c, k(0)); took != patience {
			t.Errorf("the first waits %v", took)
		}
		time.Sleep(5 * time.Second)
		if source, _, took := inTime(c, k(1)); source != SourceGrace || took != 0 {
			t.Errorf("the next: %s after %v", source, took)
		}
		time.Sleep(10 * time.Second)
		sources[0].say(always(false, nil))
		if source, why, took := inTime(c, k(1)); why != "" || took != 0 {
			t.Errorf("%s %q after %v", source, why, took)
		}
		h.join(relay.PeerState{Peer: k(1)})
		time.Sleep(askAgain + askSpread + tend)
		if err := h.ended(k(1)); err != relay.ErrRevoked {
			t.Errorf("%v", err)
		}
	})
}
