package reported

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errAway = errors.New("away")

// server takes reports, or does not.
type server struct {
	mu      sync.Mutex
	err     error
	takes   time.Duration
	got     []int
	changes int
}

// is says how it is from now on.
func (s *server) is(err error, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.takes = err, takes
}

func (s *server) report(ctx context.Context, home int) error {
	s.mu.Lock()
	err, takes := s.err, s.takes
	s.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.got = append(s.got, home)
	}
	return err
}

func (s *server) changed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
}

func same(home int) int { return home }

// What others may believe is what was taken, and what has been handed over since.
func TestWhatOthersBelieve(t *testing.T) {
	type step struct {
		away  bool
		takes time.Duration
		offer int
		after time.Duration

		believed []int
		pending  bool
	}
	for name, steps := range map[string][]step{
		"nothing":          {{believed: []int{7}}},
		"taken":            {{offer: 1, believed: []int{1}}, {offer: 2, believed: []int{2}}},
		"the same again":   {{offer: 1, believed: []int{1}}, {offer: 1, believed: []int{1}}, {offer: 1, away: true, believed: []int{1}, pending: true}},
		"not taken":        {{offer: 1, away: true, believed: []int{7, 1}, pending: true}, {offer: 2, away: true, believed: []int{7, 1, 2}, pending: true}},
		"then taken":       {{offer: 1, away: true, believed: []int{7, 1}, pending: true}, {after: time.Minute, believed: []int{1}}},
		"back again":       {{offer: 1, away: true, believed: []int{7, 1}, pending: true}, {offer: 7, believed: []int{7}}},
		"under way":        {{offer: 1, takes: time.Minute, believed: []int{7, 1}, pending: true}, {offer: 2, believed: []int{7, 1}, pending: true}},
		"taken, and newer": {{offer: 1, takes: time.Second, believed: []int{7, 1}, pending: true}, {offer: 2, takes: time.Minute, after: 2 * time.Second, believed: []int{1, 2}, pending: true}},
		"many": {
			{offer: 1, away: true, believed: []int{7, 1}, pending: true}, {offer: 2, away: true, believed: []int{7, 1, 2}, pending: true},
			{offer: 3, away: true, believed: []int{7, 1, 2, 3}, pending: true}, {offer: 4, away: true, believed: []int{7, 2, 3, 4}, pending: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s := new(server)
				r := New(same, s.report, 7, s.changed)
				go r.Run(ctx)
				for i, step := range steps {
					s.is(nil, step.takes)
					if step.away {
						s.is(errAway, step.takes)
					}
					if step.offer != 0 {
						r.Offer(step.offer)
					}
					time.Sleep(step.after)
					synctest.Wait()
					region, pending, _ := r.Taken()
					if got := r.Believed(); !slices.Equal(got, step.believed) || region != step.believed[0] || pending.IsZero() == step.pending {
						t.Errorf("step %d: believed %v (taken %d), pending since %v; want %v", i, got, region, pending, step.believed)
					}
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}

func TestWhyNothingIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &server{err: errAway}
		r := New(same, s.report, 0, s.changed)
		go r.Run(ctx)
		begun := time.Now()
		r.Offer(1)
		time.Sleep(time.Hour)
		r.Offer(2)
		synctest.Wait()
		if region, pending, err := r.Taken(); region != 0 || !pending.Equal(begun) || err != errAway || s.changes < 10 {
			t.Errorf("%d, since %v, %v, after %d changes", region, pending, err, s.changes)
		}
		s.is(nil, 0)
		time.Sleep(2 * time.Minute)
		if region, pending, err := r.Taken(); region != 2 || !pending.IsZero() || err != nil || !slices.Equal(s.got, []int{2}) {
			t.Errorf("%d, since %v, %v; %v", region, pending, err, s.got)
		}
		cancel()
		synctest.Wait()
	})
}

func TestNobodyToReportTo(t *testing.T) {
	r := New[int](same, nil, 7, nil)
	r.Offer(1)
	if region, pending, err := r.Taken(); region != 0 || !pending.IsZero() || err != nil || !slices.Equal(r.Believed(), []int{0}) {
		t.Errorf("%d, %v, %v; %v", region, pending, err, r.Believed())
	}
}
