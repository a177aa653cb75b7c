package rate

import (
	"sync/atomic"
	"time"
)

// A Minutely is for what is said once a minute. It is ready as it is, and any goroutine
// may use it.
type Minutely struct{ next atomic.Int64 }

// Due reports whether it may be said now, which is the time since any fixed moment.
func (m *Minutely) Due(now time.Duration) bool {
	next := m.next.Load()
	return int64(now) >= next && m.next.CompareAndSwap(next, int64(now+time.Minute))
}
