package netio

import "sync"

// outputSize holds one batch of the engine (four full TLS records) with the
// overhead of sealing it.
const outputSize = 4*(16<<10) + 1<<10

// An output buffer lives as long as there are bytes to send.
type output struct {
	buf [outputSize]byte
}

var outputs = sync.Pool{New: func() any { return new(output) }}

// staged collects bytes until a flush hands them to the socket. Two locks keep
// a reader that stages an answer of the TLS layer from waiting for a writer
// that waits for the socket.
type staged struct {
	flushing sync.Mutex // held by who hands bytes to the socket; taken before mu

	// Guarded by flushing: the bytes being sent.
	current *output
	going   []byte

	// Guarded by mu: the bytes staged since.
	mu    sync.Mutex
	next  *output
	bytes []byte
}

// Write stages p. It never fails.
func (s *staged) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // no buffer for nothing
	}
	s.mu.Lock()
	if s.next == nil {
		s.next = outputs.Get().(*output)
		s.bytes = s.next.buf[:0]
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
		outputs.Put(s.current)
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
