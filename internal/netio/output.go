package netio

import "sync"

// outputSize holds one batch of the engine (four full TLS records) with the
// overhead of sealing it.
const outputSize = 4*(16<<10) + 1<<10

// outputs has the buffers for it, each of which is held as long as there are bytes to
// send, or until those few that are left fit a much smaller one.
var outputs = newPool(outputSize)

// staged collects bytes until a flush hands them to the socket. Two locks keep
// a reader that stages an answer of the TLS layer from waiting for a writer
// that waits for the socket.
type staged struct {
	flushing sync.Mutex // held by who hands bytes to the socket; taken before mu

	// Guarded by flushing: the bytes being sent.
	current *buffer
	going   []byte

	// Guarded by mu: the bytes staged since.
	mu    sync.Mutex
	next  *buffer
	bytes []byte
}

// Write stages p. It never fails.
func (s *staged) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // no buffer for nothing
	}
	s.mu.Lock()
	if s.next == nil {
		s.next = take(outputs)
		s.bytes = s.next.bytes[:0]
	}
	s.bytes = append(s.bytes, p...)
	s.mu.Unlock()
	return len(p), nil
}

// empty reports whether nothing is staged since the last flush began.
func (s *staged) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bytes) == 0
}

// loadLocked makes what is staged the bytes to send, if the last ones are all gone,
// and reports whether there is anything to send. It needs flushing held.
func (s *staged) loadLocked() bool {
	if len(s.going) > 0 {
		return true
	}
	if s.current != nil {
		s.current.release()
		s.current = nil
	}
	s.mu.Lock()
	s.current, s.going = s.next, s.bytes
	s.next, s.bytes = nil, nil
	s.mu.Unlock()
	return len(s.going) > 0
}

// sentLocked counts n bytes of going as sent. It needs flushing held.
func (s *staged) sentLocked(n int) { s.going = s.going[n:] }

// stuckLocked is called when the socket takes nothing more for now. That may last, so
// what is left does not keep a buffer of more than four times its size. It needs
// flushing held.
func (s *staged) stuckLocked() {
	if 4*len(s.going) > len(s.current.bytes) {
		return
	}
	small := park(s.going)
	s.current.release()
	s.current, s.going = small, small.bytes[:len(s.going)]
}
