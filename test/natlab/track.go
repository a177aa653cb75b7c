package main

import (
	"context"
	"sync"
	"time"
)

const look = 50 * time.Millisecond

// A track is which ways the packets of both ends have taken, and when.
type track struct {
	mu      sync.Mutex
	sights  [2][]sight
	running sync.WaitGroup
	cancel  context.CancelFunc
}

type sight struct {
	at  time.Time
	way way
}

func follow(ctx context.Context, ends [2]*laptop) *track {
	ctx, cancel := context.WithCancel(ctx)
	t := &track{cancel: cancel}
	for i, l := range ends {
		t.running.Go(func() {
			for ctx.Err() == nil {
				if s, err := l.status(ctx); err == nil {
					t.note(i, s.way)
				}
				select {
				case <-time.After(look):
				case <-ctx.Done():
				}
			}
		})
	}
	return t
}

func (t *track) end() {
	t.cancel()
	t.running.Wait()
}

func (t *track) note(end int, w way) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if seen := t.sights[end]; len(seen) == 0 || seen[len(seen)-1].way != w {
		t.sights[end] = append(seen, sight{time.Now(), w})
	}
}

// now is the state of both ends; one word if it is the same. Whether a search is on just
// now makes no difference.
func (t *track) now() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var states [2]string
	for i, seen := range t.sights {
		if len(seen) > 0 {
			states[i] = seen[len(seen)-1].way.State
		}
		if states[i] == "searching" {
			states[i] = "relay"
		}
	}
	if states[0] != states[1] {
		return states[0] + "/" + states[1]
	}
	return states[0]
}

// since is when the state of now began, at the end that came to it last.
func (t *track) since() (last time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, seen := range t.sights {
		if len(seen) > 0 && seen[len(seen)-1].at.After(last) {
			last = seen[len(seen)-1].at
		}
	}
	return last
}

// flaps is how often the address that packets go to has changed between two moments, its
// coming and going included.
func (t *track) flaps(from, to time.Time) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, seen := range t.sights {
		last := ""
		for _, s := range seen {
			if s.way.Addr != last && s.at.After(from) && s.at.Before(to) {
				n++
			}
			last = s.way.Addr
		}
	}
	return n
}

// text is all of it, for people.
func (t *track) text(zero time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := ""
	for i, seen := range t.sights {
		text += "\n    " + string(rune('a'+i)) + ":"
		for _, s := range seen {
			text += " " + s.at.Sub(zero).Round(time.Millisecond).String() + " " + s.way.State
			if s.way.Addr != "" {
				text += " " + s.way.Addr
			}
			text += ";"
		}
	}
	return text
}
