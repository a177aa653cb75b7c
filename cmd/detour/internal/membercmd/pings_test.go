package membercmd

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/key"
)

// What is under way at an interrupt has a moment to come back, and is told in any case.
func TestPingsAreToldAtAnInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		interrupt()
		told := map[uint64]bool{}
		s := &pings{order: pingOrder{Count: 3, Interval: time.Hour, Timeout: time.Minute}, to: key.Public{1}, seq: 3, oldest: 1,
			sent: map[uint64]time.Time{2: time.Now(), 3: time.Now()}, tell: func(n pingNews) { told[n.Seq] = n.Took > 0 }}
		pongs := make(chan pong, 1)
		go func() {
			time.Sleep(lastWait / 2)
			pongs <- pong{key.Public{1}, 3, time.Now()}
		}()
		began := time.Now()
		if err := s.run(ctx, pongs); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); len(told) != 2 || told[2] || !told[3] || took != lastWait {
			t.Errorf("told %v after %v", told, took)
		}
	})
}
