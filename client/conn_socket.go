package client

import (
	"net"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/readbuf"
)

const (
	silence = 120 * time.Second
	// The deadline is not moved for every burst, but once this much of it is used up, and set later by the same amount.
	silenceSlack = time.Second
)

// socket is the connection to the relay or proxy below TLS and WebSocket. It watches for silence, and it can hold back
// writes, so that what the layers above write in pieces leaves in one.
type socket struct {
	net.Conn
	early []byte // read before the reader was there; owned by the reader

	// Owned by the receiver.
	watching  bool      // for silence; not while connecting, when the deadline is another
	restart   bool      // a frame has ended, so the time of silence begins anew
	restarted time.Time // when the deadline was moved last

	mu   sync.Mutex // also TLS and WebSocket write on their own account, when they read
	held bool
	out  []byte // what was written while held
}

func (s *socket) Read(p []byte) (int, error) {
	if len(s.early) > 0 {
		n := copy(p, s.early)
		s.early = s.early[n:]
		return n, nil
	}
	if s.watching && s.restart {
		s.restartSilence(time.Now())
	}
	return s.Conn.Read(p)
}

func (s *socket) restartSilence(now time.Time) {
	s.restart = false
	if now.Sub(s.restarted) >= silenceSlack {
		s.restarted = now
		s.SetReadDeadline(now.Add(silence + silenceSlack)) // fails only on a closed socket, as the read will
	}
}

// Write writes p, or keeps a copy of it while writes are held.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	if s.held {
		s.out = append(s.out, p...)
		s.mu.Unlock()
		return len(p), nil
	}
	s.mu.Unlock()
	return s.Conn.Write(p)
}

// hold makes writes wait for release.
func (s *socket) hold() {
	s.mu.Lock()
	s.held = true
	s.mu.Unlock()
}

// release writes what was held back, in one write. Those who may write at the same time, TLS and WebSocket when they
// answer control messages of the other side, wait for it so that nothing overtakes.
func (s *socket) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.Conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// pending returns how many bytes are held back.
func (s *socket) pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out)
}

// readAhead is a socket with buffered input, for TLS, which itself reads in small pieces.
type readAhead struct {
	*socket
	in readbuf.Buffer
}

func newReadAhead(s *socket) *readAhead { return &readAhead{socket: s, in: readbuf.Buffer{Src: s}} }

func (r *readAhead) Read(p []byte) (int, error) { return r.in.Read(p) }
