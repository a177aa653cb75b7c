// Package socket is the lowest layer of a client's connection.
package socket

import (
	"net"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/readbuf"
)

const (
	// Silence is how long nothing may arrive.
	Silence = 120 * time.Second
	// The deadline is not moved for every burst, but once this much of it is used
	// up, and set later by the same amount.
	SilenceSlack = time.Second
)

// Socket is the connection to the relay or proxy below TLS and WebSocket. It
// watches for silence, and it can hold back writes, so that what the layers above
// write in pieces leaves in one.
type Socket struct {
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

// New returns the socket over conn, from which something was read early.
func New(conn net.Conn, early []byte) *Socket { return &Socket{Conn: conn, early: early} }

// WatchSilence has reads fail after Silence from now on. The connection must have
// no other deadline any more.
func (s *Socket) WatchSilence() { s.watching, s.restart = true, true }

// RestartSilence has the time of silence begin anew with the next read. It is for
// the receiver, who knows where frames end.
func (s *Socket) RestartSilence() { s.restart = true }

// Read reads what came early, and then from the connection.
func (s *Socket) Read(p []byte) (int, error) {
	if len(s.early) > 0 {
		n := copy(p, s.early)
		s.early = s.early[n:]
		return n, nil
	}
	if s.watching && s.restart {
		s.moveDeadline(time.Now())
	}
	return s.Conn.Read(p)
}

func (s *Socket) moveDeadline(now time.Time) {
	s.restart = false
	if now.Sub(s.restarted) >= SilenceSlack {
		s.restarted = now
		s.SetReadDeadline(now.Add(Silence + SilenceSlack)) // fails only on a closed socket, as the read will
	}
}

// Write writes p, or keeps a copy of it while writes are held.
func (s *Socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	if s.held {
		s.out = append(s.out, p...)
		s.mu.Unlock()
		return len(p), nil
	}
	s.mu.Unlock()
	return s.Conn.Write(p)
}

// Hold makes writes wait for Release.
func (s *Socket) Hold() {
	s.mu.Lock()
	s.held = true
	s.mu.Unlock()
}

// Release writes what was held back, in one write. Those who may write at the same
// time, TLS and WebSocket when they answer control messages of the other side, wait
// for it so that nothing overtakes.
func (s *Socket) Release() error {
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

// Pending returns how many bytes are held back.
func (s *Socket) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out)
}

// readAhead is a socket with buffered input.
type readAhead struct {
	*Socket
	in readbuf.Buffer
}

// ReadAhead returns s with buffered input, for TLS, which itself reads in small
// pieces.
func ReadAhead(s *Socket) net.Conn {
	return &readAhead{Socket: s, in: readbuf.Buffer{Src: s}}
}

func (r *readAhead) Read(p []byte) (int, error) { return r.in.Read(p) }
