package relay

import "time"

// A limiter is a token bucket of 3, refilled by one a second and initially full
// (spec 5.6). Its owner passes the time; the zero value is ready.
type limiter struct {
	spent int64 // when the bucket will be full again, nanoseconds
}

const (
	limiterBurst  = 3
	limiterPeriod = int64(time.Second)
)

// allow takes a token, if there is one.
func (l *limiter) allow(now int64) bool {
	spent := max(l.spent, now)
	if spent+limiterPeriod > now+limiterBurst*limiterPeriod {
		return false
	}
	l.spent = spent + limiterPeriod
	return true
}
