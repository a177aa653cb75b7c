package reach

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// try is an attempt that takes some time, and fails unless it yields something.
type try struct {
	takes  time.Duration
	yields string
	deaf   bool // to its context
}

func (tr try) run(ctx context.Context) (string, error) {
	done := ctx.Done()
	if tr.deaf {
		done = nil
	}
	select {
	case <-time.After(tr.takes):
	case <-done:
		return "", context.Cause(ctx)
	}
	if tr.yields == "" {
		return "", io.ErrClosedPipe
	}
	return tr.yields, nil
}

func TestRace(t *testing.T) {
	const s = time.Second
	for name, test := range map[string]struct {
		lead      time.Duration
		tries     []try
		want      string // empty: an error
		took      time.Duration
		discarded string
	}{
		"first is quick":              {lead: s, tries: []try{{takes: 0, yields: "a"}, {takes: 0, yields: "b"}}, want: "a"},
		"first is slow":               {lead: s, tries: []try{{takes: 9 * s, yields: "a"}, {takes: s, yields: "b"}}, want: "b", took: 2 * s},
		"first is slow, second fails": {lead: s, tries: []try{{takes: 9 * s, yields: "a"}, {takes: 0}}, want: "a", took: 9 * s},
		"first fails":                 {lead: 5 * s, tries: []try{{takes: s}, {takes: s, yields: "b"}}, want: "b", took: 2 * s},
		"all at once":                 {tries: []try{{takes: 3 * s, yields: "a"}, {takes: 2 * s, yields: "b"}, {takes: s, yields: "c"}}, want: "c", took: s},
		"all fail":                    {lead: s, tries: []try{{takes: 3 * s}, {takes: 3 * s}}, took: 4 * s},
		"third in turn":               {lead: s, tries: []try{{takes: 9 * s}, {takes: 9 * s}, {takes: 0, yields: "c"}}, want: "c", took: 2 * s},
		"late ones are discarded":     {tries: []try{{takes: 2 * s, yields: "a", deaf: true}, {takes: s, yields: "b"}}, want: "b", took: s, discarded: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var discarded []string
				var attempts []func(context.Context) (string, error)
				for _, tr := range test.tries {
					attempts = append(attempts, tr.run)
				}
				var running sync.WaitGroup
				stages := Stages[string]{Lead: test.lead, Discard: func(x string) { discarded = append(discarded, x) }, Go: running.Go}
				start := time.Now()
				got, err := Race(t.Context(), stages, attempts...)
				if got != test.want || (err == nil) != (test.want != "") || time.Since(start) != test.took {
					t.Errorf("%q, %v after %v", got, err, time.Since(start))
				}
				running.Wait()
				if strings.Join(discarded, " ") != test.discarded {
					t.Errorf("discarded %q", discarded)
				}
			})
		})
	}
}

// What has failed is told in the order of the attempts.
func TestRaceTellsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := func(says string, after time.Duration) func(context.Context) (int, error) {
			return func(context.Context) (int, error) {
				time.Sleep(after)
				return 0, errors.New(says)
			}
		}
		attempts := []func(context.Context) (int, error){fails("a", 3), fails("b", 2), fails("c", 1), fails("d", 4)}
		if _, err := Race(t.Context(), Stages[int]{}, attempts...); err == nil || err.Error() != "a; b; c; d" {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("enough"))
		defer cancel()
		attempts = append(attempts[1:3], fails("e", time.Hour))
		if _, err := Race(ctx, Stages[int]{}, attempts...); err == nil || err.Error() != "b; c; enough" {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Hour) // the last one ends
	})
}

func TestRaceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		start := time.Now()
		_, err := Race(ctx, Stages[string]{Lead: time.Minute, Discard: func(string) {}}, try{takes: time.Hour, deaf: true}.run)
		if !errors.Is(err, why) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := Race(t.Context(), Stages[string]{}); err != nil {
			t.Errorf("nothing to try: %v", err)
		}
		time.Sleep(2 * time.Hour) // the attempt ends
	})
}

// closer has no deadlines.
type closer struct{ closed chan struct{} }

func (c closer) Close() error { close(c.closed); return nil }

func TestDuring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		ours, theirs := net.Pipe()
		defer theirs.Close()
		defer ours.Close()
		read := func() error { _, err := ours.Read(make([]byte, 1)); return err }
		time.AfterFunc(time.Second, func() { cancel(why) })
		if err := During(ctx, ours, read); err != why {
			t.Errorf("a read: %v", err)
		}
		c := closer{make(chan struct{})}
		if err := During(ctx, c, func() error { <-c.closed; return io.EOF }); err != why {
			t.Errorf("a wait for Close: %v", err)
		}
		if err := During(t.Context(), c, func() error { return io.EOF }); err != io.EOF {
			t.Errorf("an error of its own: %v", err)
		}
		if err := During(t.Context(), c, func() error { return nil }); err != nil {
			t.Error(err)
		}
	})
}
