package history

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Config is what a [History] is made from.
type Config struct {
	Path   string         // of the file; empty: in memory, and forgotten at the end
	Off    bool           // nothing is kept at all
	Look   func() Reading // what the process has counted; it is called by Run and Ask
	Logger *slog.Logger   // nil discards
}

const (
	// lookEvery is how often what is so many at a time is looked at.
	lookEvery = 10 * time.Second

	// mostWaiting is how many minutes wait at most for a file that cannot be written: a
	// day.
	mostWaiting = 24 * 60
)

// A History keeps what a relay did. Its methods may be called by any goroutine, Run by one.
type History struct {
	look func() Reading
	log  *slog.Logger

	// io is held while the file is read or written, which can take long. Mu may be taken
	// beneath it.
	io   sync.Mutex
	file *file // guarded by io; nil: in memory

	mu      sync.Mutex
	meter   *meter    // guarded by mu, as all below; nil: nothing is kept
	waiting []*record // that are not in the file, the newest last
	through int64     // the last minute that this process has been in
	since   int64     // the oldest minute that is known; 0: none
	state   State
}

// New begins to count now.
func New(c Config) *History {
	h := &History{look: c.Look, log: c.Logger}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.Update(c.Path, c.Off)
	return h
}

// Update has the history kept elsewhere from now on, or not at all. What is kept where it
// was stays there.
func (h *History) Update(path string, off bool) {
	h.io.Lock()
	defer h.io.Unlock()
	if h.file != nil && (off || h.file.path != path) {
		h.count(time.Now())
		h.save(true)
	}
	reading := h.look()
	h.mu.Lock()
	defer h.mu.Unlock()
	if off {
		h.file, h.meter, h.waiting = nil, nil, nil
		return
	}
	if h.meter == nil {
		h.meter = newMeter(&reading, time.Now())
	}
	if path == "" {
		h.file = nil
	} else if h.file == nil || h.file.path != path {
		h.file = &file{path: path, layout: layout{Minutes, h.meter.names()}}
		h.state = State{File: path, Errors: h.state.Errors}
	}
}

// Run counts until ctx is done, and writes what there is then.
func (h *History) Run(ctx context.Context) {
	h.begin()
	saved := int64(0) // the minute in which it was tried last
	for {
		timer := time.NewTimer(pause(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			h.end()
			return
		case <-timer.C:
		}
		now := time.Now()
		if minute := now.Unix() / 60; h.count(now) && minute != saved {
			saved = minute
			h.io.Lock()
			h.save(false)
			h.io.Unlock()
		}
	}
}

// pause is the time until the next look: there is one at the end of each minute.
func pause(now time.Time) time.Duration {
	left := time.Minute - time.Duration(now.UnixNano()%int64(time.Minute))
	return min(lookEvery, left)
}

// count counts what is new, and reports whether a minute is over.
func (h *History) count(now time.Time) (over bool) {
	reading := h.look()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.meter == nil {
		return false
	}
	took := max(0, now.Sub(h.meter.at)) // by the monotonic clock
	h.meter.at = now
	r, over := h.currentLocked(max(0, now.Add(-took/2).Unix()/60))
	// More than a minute is not known of a minute, however late this is.
	millis := min(uint64(took.Milliseconds()), millisOfMinute-r.millis)
	h.meter.read(&reading, millis, r.values)
	r.millis += millis
	return over || now.Unix()/60 != r.minute
}

// currentLocked returns the record of the minute that is counted, and reports whether it
// has just begun.
func (h *History) currentLocked(minute int64) (r *record, begun bool) {
	if last := len(h.waiting) - 1; last >= 0 && h.waiting[last].minute == minute {
		return h.waiting[last], false
	}
	r = &record{minute: minute, values: make([]uint64, len(h.meter.columns)), again: minute < h.through}
	h.through = max(h.through, minute)
	most := Minutes
	if h.state.File != "" {
		most = mostWaiting
	}
	if last := len(h.waiting) - 1; h.since == 0 || last >= 0 && minute-h.waiting[last].minute > Minutes {
		h.since = minute // all before is too old, or from when the clock was not set
	}
	h.waiting = append(h.waiting[max(0, len(h.waiting)+1-most):], r)
	return r, true
}

// save writes what is complete, or all there is. Io is held.
func (h *History) save(all bool) {
	if h.file == nil {
		return
	}
	ready := h.take(all)
	if len(ready) == 0 {
		return
	}
	left, unread, err := h.file.write(ready)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = slices.Concat(left, h.waiting)
	h.noteLocked(unread, err)
}

// take takes those records that are to be written, so that nobody else has them.
func (h *History) take(all bool) (ready []*record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, now := len(h.waiting), time.Now().Unix()/60
	if n > 0 && !all && h.waiting[n-1].minute == now {
		n--
	}
	ready, h.waiting = h.waiting[:n:n], slices.Clone(h.waiting[n:])
	return ready
}

// noteLocked tells, once, what is wrong with the file.
func (h *History) noteLocked(unread, err error) {
	if unread != nil {
		h.state.Errors++
		h.state.Unread = unread.Error()
		h.log.Warn("what was in the file of the history cannot all be used", "reason", unread)
	}
	before := h.state.Error
	h.state.Error = ""
	switch {
	case err != nil:
		h.state.Errors++
		h.state.Error = err.Error()
		if before == "" {
			h.log.Warn("the history cannot be kept on disk; the relay goes on, and tries again every minute", "reason", err)
		}
	case before != "":
		h.log.Info("the history is kept on disk again", "file", h.state.File)
	}
}

// begin finds out since when there is a history. A file that cannot be read is told of when
// it is to be written.
func (h *History) begin() {
	h.io.Lock()
	defer h.io.Unlock()
	if h.file == nil {
		return
	}
	now, oldest := time.Now().Unix()/60, int64(0)
	h.file.read(now-Minutes, now+1, func(r *record) {
		if oldest == 0 {
			oldest = r.minute
		}
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if oldest != 0 {
		h.since = oldest
	}
}

// end writes what there is. A relay that did not run for as long as a minute makes no file.
func (h *History) end() {
	h.count(time.Now())
	h.io.Lock()
	defer h.io.Unlock()
	if h.file != nil && h.file.there() {
		h.save(true)
	}
}

// State tells how the history is kept; nil: it is not.
func (h *History) State() *State {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.meter == nil {
		return nil
	}
	s := h.state
	if h.since != 0 {
		oldest := max(h.since, time.Now().Unix()/60-Minutes)
		since := time.Unix(60*oldest, 0).UTC()
		s.Since = &since
	}
	return &s
}
