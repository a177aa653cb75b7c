package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const settle = 3 * time.Second // for so long what was found is watched

// A result is what a scenario has come to.
type result struct {
	runs   int
	found  string          // at last, before the event
	took   []time.Duration // until both ends were direct
	lost   int             // packets, before the event
	flaps  int             // before the event: beyond the one of each end that is due
	then   string          // found after the event
	again  []time.Duration // from the event to the last change
	gone   []int           // packets that the event has cost, of each run
	errs   []error         // what differs from what was expected
	detail string
}

func (r *result) differs(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

// run has a scenario happen, so many times with the same world.
func (s *scenario) run(ctx context.Context, o options, prefix string) (r *result) {
	r = new(result)
	logs := o.logs
	if logs != "" {
		logs = filepath.Join(logs, strings.ReplaceAll(s.name, " ", "-"))
	}
	w := newWorld(prefix, s.six, logs)
	defer w.end()
	a, b := s.build(w)
	if w.err != nil {
		r.differs("the world cannot be built: %w", w.err)
		return r
	}
	if err := s.prove(w, a, b); err != nil {
		r.differs("%w", err)
		return r
	}
	services, err := w.serve(ctx, o.program)
	if err != nil {
		r.differs("%w", err)
		return r
	}
	defer services.stop()
	runs := o.runs
	if s.want == relay {
		runs = 1
	}
	for range runs {
		ends := [2]*laptop{w.newLaptop(a.host, "a"), w.newLaptop(b.host, "b")}
		if r.runs == 0 {
			err = s.once(ctx, w, o.program, r, &a, ends, services.invite)
		} else {
			err = s.once(ctx, w, o.program, r, &a, ends)
		}
		if err != nil {
			r.differs("%w", err)
			for _, l := range ends {
				if l.process != nil {
					r.detail += fmt.Sprintf("\n  %s says:\n%s", l.name, l.process.says())
				}
			}
			return r
		}
		r.runs++
	}
	return r
}

// prove finds out whether the NATs are what they are called.
func (s *scenario) prove(w *world, sides ...side) error {
	p, err := w.newProber()
	if err != nil {
		return err
	}
	defer p.close()
	for i, side := range sides {
		wait := 20 * time.Second
		if side.nature.mute {
			wait = time.Second
		}
		n, err := p.natureOf(side.host, wait)
		if err != nil {
			return fmt.Errorf("probe from %c: %w", 'a'+i, err)
		}
		if n != side.nature {
			return fmt.Errorf("the NAT of %c is not what it is to be: %v, want %v", 'a'+i, n, side.nature)
		}
	}
	return nil
}

// once is one run: both come up, packets flow, a path is found or not, and something
// happens.
func (s *scenario) once(ctx context.Context, w *world, program string, r *result, a *side, ends [2]*laptop, invite ...string) error {
	defer ends[1].down()
	defer ends[0].down()
	for _, l := range ends {
		if err := l.up(program, invite...); err != nil {
			return err
		}
	}
	addrs, err := s.meet(ctx, ends)
	if err != nil {
		return err
	}
	t := follow(ctx, ends)
	defer t.end()
	f, err := startFlow(ends[0], ends[1], addrs[0], addrs[1])
	if err != nil {
		return err
	}
	begun := time.Now()
	ended := false
	defer func() {
		if !ended {
			f.finish()
		}
	}()
	if s.want == direct {
		if err := await(ctx, "both are direct", func() bool { return t.now() == direct }); err != nil {
			return fmt.Errorf("%w%s", err, t.text(begun))
		}
		r.took = append(r.took, t.since().Sub(begun))
	}
	if err := pause(ctx, max(s.hold, settle)); err != nil {
		return err
	}
	r.found = t.now()
	changed := time.Now()
	if s.then != nil {
		if err := s.happen(ctx, w, r, a, t, f); err != nil {
			return fmt.Errorf("%w%s", err, t.text(begun))
		}
	}
	f.finish()
	ended = true
	s.judge(r, t, f, begun, changed)
	return nil
}

// meet waits until both know each other, and returns their addresses in the tunnel.
func (s *scenario) meet(ctx context.Context, ends [2]*laptop) (addrs [2]string, err error) {
	for i, l := range ends {
		var last error
		err = await(ctx, l.name+" knows of the other", func() bool {
			var st status
			st, last = l.status(ctx)
			addrs[i] = st.own
			return last == nil || l.process.hasEnded()
		})
		if err = errors.Join(err, last); err != nil {
			return addrs, err
		}
	}
	return addrs, nil
}

// happen has the event happen, and waits for what comes of it.
func (s *scenario) happen(ctx context.Context, w *world, r *result, a *side, t *track, f *flow) (err error) {
	e := s.then
	at := time.Now()
	if e.do != nil {
		if err := e.do(w, a); err != nil {
			return err
		}
	}
	if e.undo != nil {
		defer func() { err = errors.Join(err, e.undo(w, a)) }()
	}
	f.still.Store(e.rest > 0)
	if err := pause(ctx, max(e.rest, 2*settle)); err != nil {
		return err
	}
	f.still.Store(false)
	if err := await(ctx, "both are "+e.want+" after the event", func() bool { return t.now() == e.want }); err != nil {
		return err
	}
	r.again = append(r.again, max(0, t.since().Sub(at)))
	if err := pause(ctx, settle); err != nil {
		return err
	}
	r.then = t.now()
	return nil
}

// judge compares what was found with what is to be.
func (s *scenario) judge(r *result, t *track, f *flow, begun, changed time.Time) {
	if r.found != s.want {
		r.differs("found %s, want %s%s", r.found, s.want, t.text(begun))
	}
	lost, first, last := f.lost(begun, changed)
	r.lost += lost
	// Over a relay packets wait for 200 ms at most, which a busy machine may need at times.
	// Where there is no change none is lost by it.
	if lost > 0 && s.want == direct {
		r.differs("%d packets lost, sent %v to %v after the beginning (%v)%s", lost, first.Sub(begun), last.Sub(begun), f.err(), t.text(begun))
	}
	flaps := t.flaps(begun, changed)
	if s.want == direct {
		flaps -= 2
	}
	r.flaps += flaps
	if flaps != 0 {
		r.differs("%d flaps%s", flaps, t.text(begun))
	}
	if s.then == nil {
		return
	}
	gone, first, last := f.lost(changed, time.Now())
	r.gone = append(r.gone, gone)
	if r.then != s.then.want {
		r.differs("found %s after the event, want %s%s", r.then, s.then.want, t.text(begun))
	}
	if gone > s.then.lose {
		r.differs("%d packets lost by the event, sent %v to %v after it, want at most %d%s", gone, first.Sub(changed), last.Sub(changed), s.then.lose, t.text(begun))
	}
	if s.then.rest > 0 {
		if n := t.flaps(changed, time.Now()); n != 0 {
			r.differs("%d flaps while nothing was sent%s", n, t.text(begun))
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
