package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// firstCheck is when the first self-check is made. By then the relay serves,
	// and in a takeover the process before has stopped accepting.
	firstCheck = time.Second

	// enough is how many failures in a row take a relay out of service. One may
	// be an accident, and costs the relay its peers.
	enough = 2
)

// What the error of a path can mean.
var (
	// ErrOutOfReach: this machine did not get through to the relay. That says
	// nothing about others.
	ErrOutOfReach = errors.New("the relay is out of reach from here")

	// ErrUnproven: something answered, or kept silent, that has not proven to be
	// this relay. Its answer says nothing about the relay.
	ErrUnproven = errors.New("what is there has not proven to be this relay")

	// ErrOtherRelay: another relay has the name too, and answered.
	ErrOtherRelay = errors.New("another relay answered under our name")
)

// Run makes self-checks until ctx is done or the relay drains. It is to be called
// once, when the relay serves.
func (h *Health) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.inUse, cancel)()
	for soon := true; ; {
		pause := h.pause()
		if soon {
			pause = min(firstCheck, h.config.Every)
		}
		var again bool
		if soon, again = h.rest(ctx, pause); !again {
			return
		}
		switch {
		case soon:
		case h.config.Missing() != "":
			soon = true // nobody gets in, and that is known: it is checked once somebody can
		default:
			h.check(ctx)
		}
	}
}

// rest waits for the next check, if there is to be one. It reports whether it was cut short by other paths,
// and false if ctx is done.
func (h *Health) rest(ctx context.Context, pause time.Duration) (changed, again bool) {
	due := time.NewTimer(pause)
	defer due.Stop()
	if !h.checking.Load().on() {
		due.Stop()
	}
	select {
	case <-due.C:
	case <-h.changed:
		changed = true
	case <-ctx.Done():
	}
	return changed, ctx.Err() == nil
}

// pause is never the same, so that the relays of a region do not check in step.
func (h *Health) pause() time.Duration {
	tenth := h.config.Every / 10
	return h.config.Every - tenth + rand.N(2*tenth+1)
}

// check makes one self-check.
func (h *Health) check(ctx context.Context) {
	c := h.checking.Load()
	began := time.Now()
	path, err := h.viaBest(ctx, c)
	if ctx.Err() != nil || saysNothing(err) && h.config.Full() {
		return // what was cut short says nothing, nor does a full house
	}
	h.note(c, path, began, err)
}

// viaBest chooses the path and takes it.
func (h *Health) viaBest(ctx context.Context, c *checking) (*Path, error) {
	name, direct := &c.name, &c.direct
	if name.Check == nil {
		return direct, h.run(ctx, direct)
	}
	err := h.run(ctx, name)
	c.nameProven = c.nameProven || !saysNothing(err) // met this relay, well or not
	if err == nil || direct.Check == nil || !h.excused(c, err) {
		return name, err
	}
	if !c.nameExcused && ctx.Err() == nil {
		c.nameExcused = true
		h.config.Logger.Info("the relay cannot check itself by its name from this machine; its listener is checked instead",
			"url", name.Target, "reason", err, "remedy", h.spelt(excuse(err)))
	}
	return direct, h.run(ctx, direct)
}

// excused reports whether a failure by name is not the relay's.
func (h *Health) excused(c *checking, err error) bool {
	return errors.Is(err, ErrOtherRelay) || saysNothing(err) && (!c.nameProven || h.config.Full())
}

// saysNothing reports whether this relay was not met, as far as anybody can know.
func saysNothing(err error) bool {
	return errors.Is(err, ErrOtherRelay) || errors.Is(err, ErrOutOfReach) || errors.Is(err, ErrUnproven)
}

func (h *Health) run(ctx context.Context, path *Path) error {
	slow := fmt.Errorf("took longer than %v: %w", h.config.Timeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, h.config.Timeout, slow)
	defer cancel()
	return path.Check(ctx)
}

// note keeps what became of a self-check, and draws the conclusion, unless there are
// other paths by now.
func (h *Health) note(c *checking, path *Path, began time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.checking.Load() != c {
		return
	}
	failures := h.keepLocked(path, began, err)
	if path == &c.direct {
		h.last.DirectTotal++
	}
	switch failing := h.failing.Load(); {
	case !failing && failures >= enough:
		h.failing.Store(true)
		h.config.Logger.Warn("the relay fails its self-check: STUN, probes and /readyz want no peers until one passes",
			"url", path.Target, "reason", err, "remedy", h.spelt(remedy(err)))
	case failing && failures == 0:
		h.failing.Store(false)
		h.config.Logger.Info("the relay passes its self-check again", "url", path.Target)
	}
}

// keepLocked returns how many have failed in a row by now.
func (h *Health) keepLocked(path *Path, began time.Time, err error) int {
	at := began.UTC()
	s := &h.last
	s.Target, s.At, s.OK, s.Error = path.Target, &at, err == nil, ""
	s.TookMS = float64(time.Since(began).Microseconds()) / 1e3
	s.Checks++
	if err == nil {
		s.Failures = 0
		return 0
	}
	s.Error = err.Error()
	s.Failures++
	s.FailedTotal++
	if s.Failures == enough {
		s.OutagesTotal++
	}
	return s.Failures
}
