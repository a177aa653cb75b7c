package measure

import (
	"context"
	"sync"
)

// shared finds out once for each key what several probes want to know.
type shared[K comparable, V any] struct {
	mu      sync.Mutex
	answers map[K]*answer[V] // guarded by mu
}

// answer has its value when done is closed.
type answer[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// of returns the answer for a key. The first who wants to know it asks; the others
// wait for it until ctx ends.
func (s *shared[K, V]) of(ctx context.Context, key K, ask func() (V, error)) (V, error) {
	a, isFirst := s.answer(key)
	if isFirst {
		a.value, a.err = ask()
		close(a.done)
	}
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

func (s *shared[K, V]) answer(key K) (a *answer[V], isFirst bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.answers[key]; ok {
		return a, false
	}
	if s.answers == nil {
		s.answers = make(map[K]*answer[V])
	}
	a = &answer[V]{done: make(chan struct{})}
	s.answers[key] = a
	return a, true
}

// found calls f with what could be found out. Nobody may be asking any more.
func (s *shared[K, V]) found(f func(V)) {
	for _, a := range s.answers {
		if a.err == nil {
			f(a.value)
		}
	}
}
