package programs

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// tail keeps what a process writes and lets a reader wait for a line. The zero value is not usable.
type tail struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed and replaced at each write; guarded by mu
}

func newTail() *tail { return &tail{more: make(chan struct{})} }

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.text.Write(p)
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await returns what follows the mark in the first whole line that has it, as soon as there is one.
func (l *tail) await(mark string, dead <-chan struct{}) (string, error) {
	late := time.After(startBudget)
	for {
		rest, more := l.find(mark)
		if rest != "" {
			return rest, nil
		}
		select {
		case <-more:
		case <-dead: // all that it wrote is there
			if rest, _ := l.find(mark); rest != "" {
				return rest, nil
			}
			return "", fmt.Errorf("it ended without a line that has %q", mark)
		case <-late:
			return "", fmt.Errorf("no line that has %q within %v", mark, startBudget)
		}
	}
}

// find returns what follows the mark in its line, if the line is whole, and a channel that is closed once there is more.
func (l *tail) find(mark string) (rest string, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, after, ok := strings.Cut(l.text.String(), mark); ok {
		if line, _, whole := strings.Cut(after, "\n"); whole {
			rest = line
		}
	}
	return rest, l.more
}
