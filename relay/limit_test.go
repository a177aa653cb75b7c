package relay

import (
	"testing"
	"time"
)

func TestLimiter(t *testing.T) {
	const ms = int64(time.Millisecond)
	for name, steps := range map[string][]struct {
		at   int64 // ms
		want bool
	}{
		"burst of three":        {{1, true}, {1, true}, {1, true}, {1, false}, {2, false}},
		"one a second":          {{0, true}, {0, true}, {0, true}, {999, false}, {1000, true}, {1000, false}, {1999, false}, {2000, true}},
		"refusals cost nothing": {{0, true}, {0, true}, {0, true}, {500, false}, {900, false}, {999, false}, {1000, true}},
		"fills up to three":     {{0, true}, {3_600_000, true}, {3_600_000, true}, {3_600_000, true}, {3_600_000, false}},
		"fills while used":      {{0, true}, {500, true}, {1000, true}, {1500, true}, {2000, true}, {2500, false}, {3000, true}},
	} {
		var l limiter
		for i, s := range steps {
			if got := l.allow(s.at * ms); got != s.want {
				t.Errorf("%s: step %d at %d ms: %v", name, i, s.at, got)
			}
		}
	}
}

// Over any time, no more comes through than three and one a second.
func TestLimiterBound(t *testing.T) {
	var l limiter
	allowed := 0
	for now := int64(0); now < int64(time.Minute); now += int64(7 * time.Millisecond) {
		if l.allow(now) {
			allowed++
		}
	}
	if allowed < 61 || allowed > 63 {
		t.Errorf("%d in a minute, want 62", allowed)
	}
}
