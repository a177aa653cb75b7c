package relay

import (
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

func TestKeepAliveHasARange(t *testing.T) {
	for _, c := range []struct {
		value time.Duration
		ok    bool
		want  time.Duration
	}{
		{0, true, defaultKeepAlive},
		{-1, true, -1},
		{-time.Hour, true, -time.Hour},
		{1, false, 0},
		{40, false, 0}, // forgot the unit
		{minKeepAlive - 1, false, 0},
		{minKeepAlive, true, minKeepAlive},
		{maxKeepAlive, true, maxKeepAlive},
		{maxKeepAlive + 1, false, 0},
		{time.Hour, false, 0},
	} {
		s, err := New(Config{Key: key.NewPrivate(), KeepAlive: c.value})
		switch {
		case (err == nil) != c.ok:
			t.Errorf("%v: %v", c.value, err)
		case err != nil && !strings.Contains(err.Error(), "KeepAlive is "+c.value.String()+": want 5s to 1m40s"):
			t.Errorf("%v: %v", c.value, err)
		case err == nil && s.cfg.KeepAlive != c.want:
			t.Errorf("%v becomes %v, want %v", c.value, s.cfg.KeepAlive, c.want)
		}
	}
}
