package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/logtest"
)

// errSpoilt is a failure that nothing excuses.
var errSpoilt = errors.New("spoilt")

// A script is a path whose checks end as it says, one after the other, the last
// one forever.
type script struct {
	target string
	ends   []error // guarded by mu once it runs
	took   time.Duration
	goes   func(context.Context) error // instead of these

	mu    sync.Mutex
	times []time.Time // guarded by mu
}

func (s *script) path() Path {
	if s.target == "" {
		s.target = "somewhere"
	}
	return Path{Target: s.target, Check: func(ctx context.Context) error {
		s.mu.Lock()
		s.times = append(s.times, time.Now())
		s.mu.Unlock()
		if s.goes != nil {
			return s.goes(ctx)
		}
		time.Sleep(s.took)
		s.mu.Lock()
		defer s.mu.Unlock()
		err := s.ends[0]
		if len(s.ends) > 1 {
			s.ends = s.ends[1:]
		}
		return err
	}}
}

// A journal keeps the log.
type journal struct{ logtest.Log }

func opened(t *testing.T, config Config) *Health {
	t.Helper()
	h, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// running runs a Health until the test ends; tests are in synctest.
func running(t *testing.T, config Config) (*Health, *journal) {
	t.Helper()
	log := new(journal)
	config.Logger = slog.New(slog.NewTextHandler(log, nil))
	h := opened(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h, log
}

// until waits until n checks were made in all, and returns when each began.
func (s *script) until(t *testing.T, n int) []time.Time {
	t.Helper()
	for range 1000 * n {
		synctest.Wait()
		if made := s.made(); len(made) >= n {
			return made
		}
		time.Sleep(defaultEvery / 100)
	}
	t.Fatalf("%d checks, want %d", len(s.made()), n)
	return nil
}

func (s *script) made() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.times)
}

func (h *Health) want(t *testing.T, reason Reason, explained string) {
	t.Helper()
	if h.Healthy() != (reason == None) || h.Reason() != reason || h.Explain() != explained {
		t.Errorf("healthy %v, reason %q, %q; want reason %q, %q", h.Healthy(), h.Reason(), h.Explain(), reason, explained)
	}
}

func TestTwoFailuresInARowAreEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{target: "there", ends: []error{errSpoilt, nil, errSpoilt, errSpoilt, errSpoilt, nil, nil}}
		h, log := running(t, Config{Direct: s.path()})
		h.want(t, None, "")
		for n, failing := range []bool{false, false, false, true, true, false, false} {
			s.until(t, n+1)
			if failing {
				h.want(t, SelfCheckFailed, "self-check failed: spoilt")
			} else {
				h.want(t, None, "")
			}
		}
		if n := log.Lines("level=WARN", "fails its self-check", "url=there", "reason=spoilt", "remedy="); n != 1 {
			t.Errorf("%d warnings, want 1:\n%s", n, log)
		}
		if n := log.Lines("level=INFO", "passes its self-check again"); n != 1 || log.Lines("") != 2 {
			t.Errorf("%d lines about the recovery, want 1, and no others:\n%s", n, log)
		}
		got := *h.Snapshot().SelfCheck
		got.At = nil
		want := SelfCheck{Target: "there", OK: true, Checks: 7, FailedTotal: 4, DirectTotal: 7, OutagesTotal: 1}
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

func TestSnapshotOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{target: "there", ends: []error{errSpoilt}, took: 1500 * time.Microsecond}
		h, _ := running(t, Config{ViaName: s.path()})
		if got := *h.Snapshot().SelfCheck; got != (SelfCheck{Target: "there", OK: true}) {
			t.Errorf("before the first check %+v", got)
		}
		made := s.until(t, 2)
		time.Sleep(time.Second)
		got := h.Snapshot()
		if got.Healthy || got.Reason != SelfCheckFailed || !got.SelfCheck.At.Equal(made[1]) {
			t.Errorf("%+v, want it to fail since %v", got, made[1])
		}
		got.SelfCheck.At = nil
		want := SelfCheck{Target: "there", TookMS: 1.5, Error: "spoilt", Failures: 2, Checks: 2, FailedTotal: 2, OutagesTotal: 1}
		if *got.SelfCheck != want {
			t.Errorf("%+v, want %+v", *got.SelfCheck, want)
		}
	})
}

func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{ends: []error{nil}}
		began := time.Now()
		running(t, Config{Direct: s.path()})
		made := s.until(t, 50)
		if first := made[0].Sub(began); first != firstCheck {
			t.Errorf("the first check was after %v, want %v", first, firstCheck)
		}
		different := map[time.Duration]bool{}
		for i := range made[1:] {
			pause := made[i+1].Sub(made[i])
			different[pause] = true
			if pause < 27*time.Second || pause > 33*time.Second {
				t.Errorf("a pause of %v", pause)
			}
		}
		if len(different) < 10 {
			t.Errorf("only %d different pauses", len(different))
		}
	})
}

// Without a certificate nobody gets in; with one the relay is checked at once.
func TestFirstCheckIsOnceThereIsACertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{ends: []error{nil}}
		var issued atomic.Bool
		running(t, Config{Direct: s.path(), Missing: func() string {
			if issued.Load() {
				return ""
			}
			return "it is asked for"
		}})
		time.Sleep(10*time.Minute + firstCheck/2)
		if made := s.made(); len(made) > 0 {
			t.Errorf("%d checks before there is one", len(made))
		}
		issued.Store(true)
		at := time.Now()
		if made := s.until(t, 1); made[0].Sub(at) > firstCheck {
			t.Errorf("the first check was %v after it", made[0].Sub(at))
		}
	})
}

// What keeps this machine from its own name says nothing about others, as long as
// the name has never worked.
func TestNameIsExcusedUntilItWorks(t *testing.T) {
	out := fmt.Errorf("%w: no such host", ErrOutOfReach)
	synctest.Test(t, func(t *testing.T) {
		name := &script{target: "name", ends: []error{out, out, nil, out, out, nil}}
		direct := &script{target: "direct", ends: []error{nil}}
		h, log := running(t, Config{ViaName: name.path(), Direct: direct.path()})
		for n, want := range []struct {
			target, explained string
		}{
			{"direct", ""}, {"direct", ""}, {"name", ""},
			{"name", ""}, {"name", "self-check failed: " + out.Error()}, {"name", ""},
		} {
			name.until(t, n+1)
			reason := None
			if want.explained != "" {
				reason = SelfCheckFailed
			}
			h.want(t, reason, want.explained)
			if got := h.Snapshot().SelfCheck.Target; got != want.target {
				t.Errorf("check %d was through %s, want %s", n+1, got, want.target)
			}
		}
		if n := log.Lines("cannot check itself by its name", "no such host"); n != 1 {
			t.Errorf("%d lines about the name, want 1:\n%s", n, log)
		}
		if got := h.Snapshot().SelfCheck; got.DirectTotal != 2 || got.Checks != 6 {
			t.Errorf("%+v", got)
		}
	})
}

func TestOtherFailuresByNameCountAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name, direct := &script{ends: []error{errSpoilt}}, &script{ends: []error{nil}}
		h, _ := running(t, Config{ViaName: name.path(), Direct: direct.path()})
		name.until(t, 2)
		h.want(t, SelfCheckFailed, "self-check failed: spoilt")
		if len(direct.made()) != 0 {
			t.Error("the direct path was used")
		}
	})
}

// Relays that share a name reach each other by it, at any time.
func TestOtherRelayUnderTheNameIsExcused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name, direct := &script{ends: []error{nil, ErrOtherRelay}}, &script{ends: []error{nil}}
		h, _ := running(t, Config{ViaName: name.path(), Direct: direct.path()})
		name.until(t, 4)
		h.want(t, None, "")
	})
}

// With the direct path it is the relay that is meant.
func TestDirectDoorFailsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name, direct := &script{ends: []error{ErrOutOfReach}}, &script{ends: []error{ErrOutOfReach}}
		h, _ := running(t, Config{ViaName: name.path(), Direct: direct.path()})
		direct.until(t, 2)
		h.want(t, SelfCheckFailed, "self-check failed: "+ErrOutOfReach.Error())
	})
}

func TestNameAloneIsNotExcused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := &script{ends: []error{ErrOutOfReach}}
		h, _ := running(t, Config{ViaName: name.path()})
		name.until(t, 2)
		h.want(t, SelfCheckFailed, "self-check failed: "+ErrOutOfReach.Error())
	})
}

func TestCheckHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := &script{goes: func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		h, log := running(t, Config{Direct: stuck.path()})
		stuck.until(t, 2)
		time.Sleep(defaultTimeout)
		synctest.Wait()
		if got := h.Snapshot().SelfCheck; got.TookMS != 10_000 || !strings.HasPrefix(got.Error, "took longer than 10s") {
			t.Errorf("%+v", got)
		}
		if log.Lines("overloaded or stuck") != 1 {
			t.Errorf("no fitting remedy:\n%s", log)
		}
	})
}

// The end of the relay cuts a check short, and that is no failure.
func TestDrain(t *testing.T) {
	for name, end := range map[string]func(*Health, context.CancelFunc){
		"drain":    func(h *Health, _ context.CancelFunc) { h.Drain() },
		"shutdown": func(_ *Health, cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stuck := &script{goes: func(ctx context.Context) error {
					<-ctx.Done()
					return ctx.Err()
				}}
				h := opened(t, Config{Direct: stuck.path()})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					h.Run(ctx)
				}()
				stuck.until(t, 1)
				at := time.Now()
				end(h, cancel)
				<-ended
				if !time.Now().Equal(at) {
					t.Errorf("it took %v", time.Since(at))
				}
				if got := h.Snapshot().SelfCheck; got.Checks != 0 {
					t.Errorf("%+v", got)
				}
				if name == "drain" {
					h.want(t, Draining, "draining")
				} else {
					h.want(t, None, "")
				}
			})
		})
	}
}

func TestWithoutASelfCheck(t *testing.T) {
	h := opened(t, Config{})
	if got := h.Snapshot(); !got.Healthy || got.SelfCheck != nil {
		t.Errorf("%+v", got)
	}
	h.Drain()
	h.Run(t.Context()) // returns
	if got := h.Snapshot(); got.Healthy || got.Reason != Draining {
		t.Errorf("%+v", got)
	}
}

func TestNewRefuses(t *testing.T) {
	check := func(context.Context) error { return nil }
	for _, config := range []Config{
		{Every: -1}, {Timeout: -time.Second}, {ViaName: Path{Check: check}}, {Direct: Path{Target: "there"}},
	} {
		if _, err := New(config); err == nil {
			t.Errorf("%+v was accepted", config)
		}
	}
}

func TestHealthyAllocatesNothing(t *testing.T) {
	h := opened(t, Config{})
	h.mu.Lock() // nor does it wait
	defer h.mu.Unlock()
	if n := testing.AllocsPerRun(100, func() { h.Healthy() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
