package client

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
)

const (
	quietTime    = 20 * time.Second // after which a silent relay is asked for a Pong
	pongPatience = 10 * time.Second
)

// session is a connection of a Region, from admission on.
type session struct {
	// Set once.
	conn  *Conn
	node  *node
	info  Message // ServerInfo
	since time.Time
	took  time.Duration // to connect

	restarting chan restart // gets at most one

	// Those who are sending. idle is closed when there are none and there will be none.
	senders  atomic.Int64
	replaced atomic.Bool
	idle     chan struct{}
	idleOnce sync.Once

	// The reader's marks, for tend.
	heard atomic.Uint64 // changes when something arrives
	held  atomic.Bool   // not reading: Recv is not called

	free chan *chunk

	toldMu sync.Mutex
	told   bool // that we prefer this relay; guarded by toldMu
}

func newSession(conn *Conn, n *node, info Message, preferred bool, since time.Time, took time.Duration) *session {
	s := &session{
		conn: conn, node: n, info: info, since: since, took: took, told: preferred,
		restarting: make(chan restart, 1), idle: make(chan struct{}), free: make(chan *chunk, chunksPerSession),
	}
	for range chunksPerSession {
		s.free <- &chunk{home: s.free}
	}
	return s
}

// enter returns the session to send on, until leave, or nil if there is none. A session that was replaced gets no new
// senders, since everyone looks again after having been counted.
func (r *Region) enter() *session {
	for {
		s := r.current.Load()
		if s == nil {
			return nil
		}
		s.senders.Add(1)
		if r.current.Load() == s {
			return s
		}
		s.leave()
	}
}

func (s *session) leave() {
	if s.senders.Add(-1) == 0 && s.replaced.Load() {
		s.idleOnce.Do(func() { close(s.idle) })
	}
}

// sent returns what is closed when the senders of a session that was replaced are done.
func (s *session) sent() <-chan struct{} {
	s.senders.Add(1)
	s.replaced.Store(true)
	s.leave()
	return s.idle
}

// tellPreferred tells the relay if it knows otherwise. It does not wait: tend repeats what could not be told.
func (s *session) tellPreferred(preferred *atomic.Bool) {
	s.toldMu.Lock()
	defer s.toldMu.Unlock()
	if want := preferred.Load(); want != s.told && s.conn.push(derp.AppendNotePreferred(nil, want)) {
		s.told = want
	}
}

// tend ends a connection that is dead without anybody having said so: the relay is asked for a Pong when it has been silent.
// It is not silent while we do not listen.
func (r *Region) tend(s *session) {
	tick := time.NewTicker(quietTime)
	defer tick.Stop()
	for heard := s.heard.Load(); ; heard = s.heard.Load() {
		select {
		case <-tick.C:
		case <-s.conn.done:
			return
		}
		if r.current.Load() == s {
			s.tellPreferred(&r.preferred)
		}
		if s.silentSince(heard) && !s.answers() && s.silentSince(heard) {
			s.conn.fail(fmt.Errorf("%w: no Pong within %v", ErrSilent, pongPatience))
		}
	}
}

func (s *session) silentSince(heard uint64) bool { return s.heard.Load() == heard && !s.held.Load() }

func (s *session) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), pongPatience)
	defer cancel()
	_, err := s.conn.Ping(ctx)
	return err == nil
}
