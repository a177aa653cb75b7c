package certs

import (
	"sync"
	"time"
)

// A Failure is why the last reload or renewal was in vain, and since when that is
// so. The zero value is none.
type Failure struct {
	mu     sync.Mutex
	reason string    // guarded by mu
	at     time.Time // guarded by mu
}

// Note keeps the outcome of a reload: nil ends the failure.
func (f *Failure) Note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.reason = ""
		return
	}
	if err.Error() != f.reason {
		f.reason, f.at = err.Error(), time.Now().UTC()
	}
}

// Describe says it with what is shown.
func (f *Failure) Describe(d *Description) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reason != "" {
		at := f.at
		d.Failed, d.FailedAt = f.reason, &at
	}
}
