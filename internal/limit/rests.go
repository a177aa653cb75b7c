package limit

import (
	"sync/atomic"
	"time"
)

// Rests counts the rests of all, by what they were for. It is ready as it is.
type Rests [Reasons]struct{ bursts, bytes, nanoseconds atomic.Uint64 }

// Note counts a rest after a burst of so many bytes.
func (r *Rests) Note(why Reason, bytes int, d time.Duration) {
	r[why].bursts.Add(1)
	r[why].bytes.Add(uint64(bytes))
	r[why].nanoseconds.Add(uint64(d))
}

// Of returns how many rests there were, what the bursts before them had, and how long
// they were, all together.
func (r *Rests) Of(why Reason) (bursts, bytes uint64, d time.Duration) {
	return r[why].bursts.Load(), r[why].bytes.Load(), time.Duration(r[why].nanoseconds.Load())
}
