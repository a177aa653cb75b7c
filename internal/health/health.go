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
	defaultEvery   = 30 * time.Second
	defaultTimeout = 10 * time.Second
)

// Config is what a [Health] is made from. Zero fields mean the default.
type Config struct {
	// The paths of the self-check. With both it goes via the name, and over the
	// direct one while the name is out of reach and has never worked; with
	// neither there is no self-check.
	ViaName, Direct Path

	Every   time.Duration // from one self-check to the next, a tenth more or less (default 30 s)
	Timeout time.Duration // for going over one path (default 10 s)

	// Full reports that the relay turns connections away because it has as many as
	// it may. It works, then: a check that does not get in says nothing about it.
	// Nil: it never does.
	Full func() bool

	// UsedUp reports that the relay wants no peers until the month is over, and WhyUsedUp
	// says so for people. UsedUp is quick. Nil: it never does.
	UsedUp    func() bool
	WhyUsedUp func() string

	// Missing says why the relay has no certificate yet, without which no peer comes in;
	// empty: it has one, or needs none. It is quick where it is empty. Nil: always.
	Missing func() string

	// Spell says how operators call a setting; nil: by its path.
	Spell func(setting string) string

	Logger *slog.Logger // nil discards
}

// A Path is a way into the relay.
type Path struct {
	Target string // where it leads, for people

	// Check goes there and back, and returns why that failed; ErrOutOfReach,
	// ErrUnproven and ErrOtherRelay have a meaning. Nil: there is no such path.
	Check func(context.Context) error
}

// A Reason is why a relay wants no peers.
type Reason string

// The reasons.
const (
	None            Reason = "" // it wants some
	Draining        Reason = "draining"
	QuotaUsedUp     Reason = "quota used up"
	NoCertificate   Reason = "no certificate"
	SelfCheckFailed Reason = "self-check failed"
)

// A Health is that of one relay. Its methods may be called by any goroutine.
type Health struct {
	config   Config
	inUse    context.Context // done once the relay drains
	drain    context.CancelFunc
	draining atomic.Bool
	failing  atomic.Bool // written by Run, and by Update
	checking atomic.Pointer[checking]
	changed  chan struct{} // asks for a check over other paths

	mu   sync.Mutex
	last SelfCheck // guarded by mu
}

// New returns the health of a relay that is well. Self-checks are made by Run.
func New(config Config) (*Health, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	h := &Health{config: config, last: SelfCheck{OK: true}, changed: make(chan struct{}, 1)}
	h.begin(config.ViaName, config.Direct)
	h.inUse, h.drain = context.WithCancel(context.Background())
	return h, nil
}

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	if err := checkPaths(c.ViaName, c.Direct); err != nil {
		return c, err
	}
	if c.Every < 0 || c.Timeout < 0 {
		return c, errors.New("health: Config.Every and Timeout cannot be negative")
	}
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Full == nil {
		c.Full = func() bool { return false }
	}
	if c.UsedUp == nil {
		c.UsedUp = func() bool { return false }
	}
	if c.Missing == nil {
		c.Missing = func() string { return "" }
	}
	if c.Spell == nil {
		c.Spell = func(setting string) string { return setting }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func checkPaths(paths ...Path) error {
	for _, path := range paths {
		if (path.Target == "") != (path.Check == nil) {
			return errors.New("health: a Path needs both a Target and a Check")
		}
	}
	return nil
}

// checking is what the self-check goes by, until there are other paths.
type checking struct {
	name, direct Path // set once

	// Owned by Run.
	nameProven  bool
	nameExcused bool // and the log says so
}

// on reports whether there is a self-check.
func (c *checking) on() bool { return c.name.Check != nil || c.direct.Check != nil }

// Update has the self-check go over other paths, and soon. A relay that has failed it
// wants no peers until it passes there, or is not checked any more.
func (h *Health) Update(viaName, direct Path) error {
	if err := checkPaths(viaName, direct); err != nil {
		return err
	}
	h.begin(viaName, direct)
	select {
	case h.changed <- struct{}{}:
	default:
	}
	return nil
}

func (h *Health) begin(name, direct Path) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := &checking{name: name, direct: direct}
	h.checking.Store(next)
	h.last.Target = direct.Target
	if name.Check != nil {
		h.last.Target = name.Target
	}
	if h.last.Failures = 0; !next.on() {
		h.failing.Store(false)
	}
}

// Healthy reports whether the relay wants peers. It is quick and takes no lock.
func (h *Health) Healthy() bool { return h.Reason() == None }

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
	case h.config.UsedUp():
		return QuotaUsedUp
	case h.config.Missing() != "":
		return NoCertificate
	case h.failing.Load():
		return SelfCheckFailed
	}
	return None
}

// Explain returns the reason in full, for people; "" for none.
func (h *Health) Explain() string {
	reason := h.Reason()
	switch {
	case reason == QuotaUsedUp:
		return string(reason) + ": " + h.config.WhyUsedUp()
	case reason == NoCertificate:
		return string(reason) + ": " + h.config.Missing()
	case reason != SelfCheckFailed:
		return string(reason)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(reason) + ": " + h.last.Error
}
