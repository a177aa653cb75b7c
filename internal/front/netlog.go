package front

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"sync"
	"time"
)

// NetLog is for what net/http has to say.
func NetLog(to *slog.Logger) *log.Logger { return log.New(&sparse{to: to}, "", 0) }

// sparse logs what net/http has to say: a line a minute as a warning, and what is
// more for who looks closely. Where no descriptor is left, each server says so again
// and again.
type sparse struct {
	to *slog.Logger

	mu   sync.Mutex
	next time.Time // guarded by mu; from when on a line is a warning
}

const sparsely = time.Minute

// Write is called by a log.Logger, with a line.
func (s *sparse) Write(line []byte) (int, error) {
	s.mu.Lock()
	level := slog.LevelDebug
	if now := time.Now(); !now.Before(s.next) {
		level, s.next = slog.LevelWarn, now.Add(sparsely)
	}
	s.mu.Unlock()
	s.to.Log(context.Background(), level, string(bytes.TrimRight(line, "\n")))
	return len(line), nil
}
