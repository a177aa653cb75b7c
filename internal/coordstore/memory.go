package coordstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

// A Memory is a Store that forgets all when the process ends: for development, and
// for tests, which can break it.
//
// Several coordinators can share what it keeps, each with a Memory of its own.
type Memory struct {
	kept *kept

	// Guarded by kept.mu.
	closed, paused, broken bool
	since                  time.Time // when it was paused or broken
	breaks                 int
	changed                retry.Broadcast // of the above
}

// kept is what the Memories that share it have in common.
type kept struct {
	mu      sync.Mutex
	buckets map[string]*history
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	k := &kept{buckets: map[string]*history{}}
	for _, name := range Buckets() {
		k.buckets[name] = newHistory()
	}
	return &Memory{kept: k}
}

// Share returns another store that keeps the same: what a second coordinator has. It
// is broken, paused and closed alone.
func (m *Memory) Share() *Memory { return &Memory{kept: m.kept} }

// Break parts the store from what is kept until Heal: writing fails, and so does
// watching.
func (m *Memory) Break() {
	m.set(func() { m.broken, m.breaks, m.since = true, m.breaks+1, time.Now() })
}

// Pause makes the store hang until Heal: writes wait for their context, watchers hear
// nothing.
func (m *Memory) Pause() { m.set(func() { m.paused, m.since = true, time.Now() }) }

// Heal ends what Break and Pause began. Watchers that broke have to be called again.
func (m *Memory) Heal() { m.set(func() { m.broken, m.paused = false, false }) }

// Remake throws a bucket away and makes it anew, for all who share it.
func (m *Memory) Remake(bucket string) {
	m.kept.mu.Lock()
	defer m.kept.mu.Unlock()
	old := m.kept.buckets[bucket]
	m.kept.buckets[bucket] = newHistory()
	old.changed.Send()
}

// Close ends the watching and refuses all writes. Who shares the store is not closed.
func (m *Memory) Close() error {
	m.set(func() { m.closed = true })
	return nil
}

func (m *Memory) set(change func()) {
	m.kept.mu.Lock()
	defer m.kept.mu.Unlock()
	change()
	m.changed.Send()
}

func (m *Memory) State() State {
	m.kept.mu.Lock()
	defer m.kept.mu.Unlock()
	s := State{Engine: "memory", Writable: true}
	for _, h := range m.kept.buckets {
		s.Watchers += len(h.seen)
	}
	if err := m.partedLocked(); err != nil {
		s.Writable, s.Reason, s.Since = false, err.Error(), m.since
	} else if m.paused {
		s.Writable, s.Reason, s.Since = false, "it does not answer", m.since
	}
	return s
}

func (m *Memory) Create(ctx context.Context, bucket, key string, value []byte) (uint64, error) {
	if err := Check(bucket, key, value); err != nil {
		return 0, err
	}
	return m.write(ctx, bucket, key, value, 0)
}

func (m *Memory) Update(ctx context.Context, bucket, key string, value []byte, expected uint64) (uint64, error) {
	if err := Check(bucket, key, value); err != nil {
		return 0, err
	}
	return m.replace(ctx, bucket, key, value, expected)
}

func (m *Memory) Delete(ctx context.Context, bucket, key string, expected uint64) (uint64, error) {
	if err := CheckKey(bucket, key); err != nil {
		return 0, err
	}
	return m.replace(ctx, bucket, key, nil, expected)
}

func (m *Memory) replace(ctx context.Context, bucket, key string, value []byte, expected uint64) (uint64, error) {
	if expected == 0 { // nothing has this revision
		return 0, ErrConflict
	}
	return m.write(ctx, bucket, key, value, expected)
}

func (m *Memory) write(ctx context.Context, bucket, key string, value []byte, expected uint64) (uint64, error) {
	m.kept.mu.Lock()
	defer m.kept.mu.Unlock()
	if err := m.readyLocked(ctx); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	h := m.kept.buckets[bucket]
	if h.find(key) != expected {
		return 0, ErrConflict
	}
	return h.add(key, value), nil
}

// readyLocked waits until the store answers.
func (m *Memory) readyLocked(ctx context.Context) error {
	for {
		if err := errors.Join(ctx.Err(), m.partedLocked()); err != nil || !m.paused {
			return err
		}
		changed := m.changed.Wait()
		m.kept.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		m.kept.mu.Lock()
	}
}

func (m *Memory) partedLocked() error {
	if m.closed {
		return errors.New("it is closed")
	}
	if m.broken {
		return errors.New("the connection is broken")
	}
	return nil
}
