package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/detour-relay/detour/internal/retry"
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

// checks reports whether there is a self-check.
func (h *Health) checks() bool { return h.config.ViaName.Check != nil || h.config.Direct.Check != nil }

// Run makes self-checks until ctx is done or the relay drains. It is to be called
// once, when the relay serves.
func (h *Health) Run(ctx context.Context) {
	if !h.checks() {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.inUse, cancel)()
	for pause := min(firstCheck, h.config.Every); retry.Rest(ctx, pause, nil); pause = h.pause() {
		h.check(ctx)
	}
}

// pause is never the same, so that the relays of a region do not check in step.
func (h *Health) pause() time.Duration {
	tenth := h.config.Every / 10
	return h.config.Every - tenth + rand.N(2*tenth+1)
}

// check makes one self-check.
func (h *Health) check(ctx context.Context) {
	began := time.Now()
	path, err := h.viaBest(ctx)
	if ctx.Err() != nil || saysNothing(err) && h.config.Full() {
		return // what was cut short says nothing, nor does a full house
	}
	h.note(path, began, err)
}

// viaBest chooses the path and takes it.
func (h *Health) viaBest(ctx context.Context) (*Path, error) {
	name, direct := &h.config.ViaName, &h.config.Direct
	if name.Check == nil {
		return direct, h.run(ctx, direct)
	}
	err := h.run(ctx, name)
	h.nameProven = h.nameProven || !saysNothing(err) // met this relay, well or not
	if err == nil || direct.Check == nil || !h.excused(err) {
		return name, err
	}
	if !h.nameExcused && ctx.Err() == nil {
		h.nameExcused = true
		h.config.Logger.Info("the relay cannot check itself by its name from this machine; its listener is checked instead",
			"url", name.Target, "reason", err, "remedy", h.spelt(excuse(err)))
	}
	return direct, h.run(ctx, direct)
}

// excused reports whether a failure by name is not the relay's.
func (h *Health) excused(err error) bool {
	return errors.Is(err, ErrOtherRelay) || saysNothing(err) && (!h.nameProven || h.config.Full())
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

// note keeps what became of a self-check, and draws the conclusion.
func (h *Health) note(path *Path, began time.Time, err error) {
	failures := h.keep(path, began, err)
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

// keep returns how many have failed in a row by now.
func (h *Health) keep(path *Path, began time.Time, err error) int {
	at := began.UTC()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.last
	s.Target, s.At, s.OK, s.Error = path.Target, &at, err == nil, ""
	s.TookMS = float64(time.Since(began).Microseconds()) / 1e3
	s.Checks++
	if path == &h.config.Direct {
		s.DirectTotal++
	}
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
