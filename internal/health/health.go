package health

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultEvery    = 30 * time.Second
	defaultPatience = 10 * time.Second
)

// Config is what a [Health] is made from. Zero fields mean the default.
type Config struct {
	// The doors of the self-check. With both it goes by name, and through the
	// direct one while the name is out of reach and has never worked; with
	// neither there is no self-check.
	ByName, Direct Door

	Every    time.Duration // from one self-check to the next, a tenth more or less (default 30 s)
	Patience time.Duration // for going through one door (default 10 s)

	Logger *slog.Logger // nil discards
}

// A Door is a way into the relay.
type Door struct {
	Target string // where it leads, for people

	// Check goes through the door and back, and returns why that failed;
	// ErrOutOfReach and ErrOtherRelay have a meaning. Nil: there is no such door.
	Check func(context.Context) error
}

// A Reason is why a relay wants no peers.
type Reason string

// The reasons.
const (
	None            Reason = "" // it wants some
	Draining        Reason = "draining"
	SelfCheckFailed Reason = "self-check failed"
)

// A Health is that of one relay. Its methods may be called by any goroutine.
type Health struct {
	config   Config
	inUse    context.Context // done once the relay drains
	drain    context.CancelFunc
	draining atomic.Bool
	failing  atomic.Bool // written by Run

	// Owned by Run.
	nameWorked  bool
	nameExcused bool // and the log says so

	mu   sync.Mutex
	last SelfCheck // guarded by mu
}

// New returns the health of a relay that is well. Self-checks are made by Run.
func New(config Config) (*Health, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	h := &Health{config: config, last: SelfCheck{OK: true, Target: config.Direct.Target}}
	if config.ByName.Check != nil {
		h.last.Target = config.ByName.Target
	}
	h.inUse, h.drain = context.WithCancel(context.Background())
	return h, nil
}

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	for _, door := range []Door{c.ByName, c.Direct} {
		if (door.Target == "") != (door.Check == nil) {
			return c, errors.New("health: a Door needs both a Target and a Check")
		}
	}
	if c.Every < 0 || c.Patience < 0 {
		return c, errors.New("health: Config.Every and Patience cannot be negative")
	}
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Healthy reports whether the relay wants peers. It is quick and takes no lock.
func (h *Health) Healthy() bool { return !h.draining.Load() && !h.failing.Load() }

// Drain says that the relay wants no more peers from now on, and ends Run.
func (h *Health) Drain() {
	h.draining.Store(true)
	h.drain()
}

// Reason returns why the relay wants no peers.
func (h *Health) Reason() Reason {
	switch {
	case h.draining.Load():
		return Draining
	case h.failing.Load():
		return SelfCheckFailed
	}
	return None
}

// Explain returns the reason in full, for people; "" for none.
func (h *Health) Explain() string {
	reason := h.Reason()
	if reason != SelfCheckFailed {
		return string(reason)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(reason) + ": " + h.last.Error
}
