// Package logtest has a log that a test reads while others write it.
package logtest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// A Log is what was logged. Any goroutine may write and read it; the zero value is ready.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Logger returns what logs here at a level and above, as text.
func (l *Log) Logger(least slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: least}))
}

// Lines counts the lines that have all the words.
func (l *Log) Lines(words ...string) (n int) {
next:
	for line := range strings.Lines(l.String()) {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		n++
	}
	return n
}
