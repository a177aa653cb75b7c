package client

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/packetqueue"
)

// session is a connection of a Region, from admission on.
type session struct {
	// Set once.
	conn  *Conn
	relay *regionRelay
	since time.Time
	took  time.Duration // to connect

	restarting chan restart // gets at most one

	// Those who are sending. idle is closed when there are none and there will be
	// none.
	senders  atomic.Int64
	replaced atomic.Bool
	idle     chan struct{}
	idleOnce sync.Once

	// What it is watched by.
	region  *Region       // that it belongs to
	heard   atomic.Int64  // when something arrived last, as time since region.born
	held    atomic.Bool   // not reading: Recv is not called
	watch   atomic.Int32  // unwatched, watched or watchedNew
	traffic chan struct{} // tells of traffic while unwatched

	suspected chan struct{} // the relay has fallen silent
	recovered chan struct{} // it was suspected, and has been heard again

	free <-chan *chunk
	keep func(*Message) bool // note; set once
	msg  Message             // the last one, ServerInfo at first; owned by the reader

	toldMu sync.Mutex
	told   bool // that we prefer this relay; guarded by toldMu
}

func newSession(conn *Conn, r *Region, n *regionRelay, info derp.ServerInfo, preferred bool, since time.Time, took time.Duration) *session {
	s := &session{
		conn: conn, region: r, relay: n, msg: Message{Kind: MessageServerInfo, ServerInfo: info}, since: since, took: took, told: preferred,
		restarting: make(chan restart, 1), idle: make(chan struct{}), free: packetqueue.NewChunks[Message](chunksPerSession, r.tag),
		traffic: make(chan struct{}, 1), suspected: make(chan struct{}, 1), recovered: make(chan struct{}, 1),
	}
	s.keep = s.note
	s.hear()
	return s
}

// enter returns the session to send on, until leave, or nil if there is none. A
// session that was replaced gets no new senders, since everyone looks again after
// having been counted.
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

// sent returns what is closed when the senders of a session that was replaced are
// done.
func (s *session) sent() <-chan struct{} {
	s.senders.Add(1)
	s.replaced.Store(true)
	s.leave()
	return s.idle
}

// tellPreferred tells the relay if it knows otherwise. It does not wait: the keeper
// repeats what could not be told.
func (s *session) tellPreferred(preferred *atomic.Bool) {
	s.toldMu.Lock()
	defer s.toldMu.Unlock()
	if want := preferred.Load(); want != s.told && s.conn.push(derp.AppendNotePreferred(nil, want)) {
		s.told = want
	}
}
