package reach

import (
	"context"
	"time"
)

// Stages says how attempts follow each other in a Race.
type Stages[T any] struct {
	Lead    time.Duration // of each attempt before the next is made as well; 0: all at once
	Discard func(T)       // gets what succeeds when it is not wanted any more
	Go      func(func())  // begins goroutines; nil: the go statement
}

// Race makes attempts in order: the next one once one has failed, or the lead of the
// last one is over. It returns the first success; the others' contexts are cancelled
// then, and what still comes of them is discarded. If all fail, the error joins
// theirs in one line, in the order of the attempts, whichever failed first; if ctx ends,
// its cause follows what has failed until then.
func Race[T any](ctx context.Context, s Stages[T], attempts ...func(context.Context) (T, error)) (T, error) {
	if s.Go == nil {
		s.Go = func(f func()) { go f() }
	}
	r := &race[T]{Stages: s, attempts: attempts, outcomes: make(chan outcome[T], len(attempts)), errs: make([]error, len(attempts))}
	r.ctx, r.cancel = context.WithCancel(ctx)
	defer r.leave()
	return r.run()
}

// outcome is how an attempt ended.
type outcome[T any] struct {
	attempt int
	got     T
	err     error
}

type race[T any] struct {
	Stages[T]
	ctx            context.Context
	cancel         context.CancelFunc
	attempts       []func(context.Context) (T, error)
	outcomes       chan outcome[T] // has room for all
	errs           []error         // of each, once it has failed
	started, ended int
}

func (r *race[T]) run() (none T, err error) {
	lead := time.NewTicker(max(r.Lead, 1))
	defer lead.Stop()
	for r.begin(); r.Lead <= 0 && r.started < len(r.attempts); {
		r.begin()
	}
	for r.ended < len(r.attempts) {
		select {
		case o := <-r.outcomes:
			r.ended++
			if o.err == nil {
				return o.got, nil
			}
			r.errs[o.attempt] = o.err
			r.begin()
		case <-lead.C:
			r.begin()
		case <-r.ctx.Done():
			return none, Join(r.failed(), context.Cause(r.ctx))
		}
		if r.started == len(r.attempts) {
			lead.Stop()
		}
	}
	return none, r.failed()
}

// failed joins the errors that there are.
func (r *race[T]) failed() (all error) {
	for _, err := range r.errs {
		if err != nil {
			all = Join(all, err)
		}
	}
	return all
}

// begin makes the next attempt, if there is one.
func (r *race[T]) begin() {
	if r.started == len(r.attempts) {
		return
	}
	attempt, try := r.started, r.attempts[r.started]
	r.started++
	r.Go(func() {
		got, err := try(r.ctx)
		r.outcomes <- outcome[T]{attempt, got, err}
	})
}

// leave gives up the attempts that are under way.
func (r *race[T]) leave() {
	r.cancel()
	late := r.started - r.ended
	if late == 0 {
		return
	}
	r.Go(func() {
		for range late {
			if o := <-r.outcomes; o.err == nil {
				r.Discard(o.got)
			}
		}
	})
}
