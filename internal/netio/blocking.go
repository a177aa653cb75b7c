package netio

import (
	"io"
	"net"
	"sync/atomic"
)

// waitingRead is the buffer a blocking stream holds while it waits, and piece
// the most it writes at a time, so that a writer sees progress.
const (
	waitingRead = 4 << 10
	piece       = 16 << 10
)

// Blocking returns a stream over any net.Conn, which it owns from now on.
// buffered are bytes that were already read from c; they are copied.
//
// Reads hold a small buffer while they wait, and a flush that may not wait
// sends nothing. c.Close must not wait for the peer.
func Blocking(c net.Conn, buffered []byte) Stream {
	return newBlocking(c, c, buffered)
}

func newBlocking(c net.Conn, closer io.Closer, buffered []byte) Stream {
	s := &blocking{conn: c, closer: closer}
	s.in.preload(buffered)
	return s
}

type blocking struct {
	conn   net.Conn
	closer io.Closer // ends conn without waiting: its transport, if it has one
	out    staged
	closed atomic.Bool

	// Owned by the reader.
	in    readBuf
	first [waitingRead]byte
}

func (s *blocking) ReadBursts(handle func([]byte) (int, error)) error {
	defer func() { s.in.end(s.closed.Load()) }()
	if err := s.deliver(handle); err != nil {
		return err
	}
	for {
		s.in.park()
		n, err := s.conn.Read(s.first[:])
		if n > 0 {
			room := s.in.room()
			if len(room) < n {
				return ErrBurstTooLong
			}
			s.in.add(copy(room, s.first[:n]))
			if err := s.deliver(handle); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// deliver is that of the buffer, until the stream is closed: a TLS conn may have
// plaintext left then.
func (s *blocking) deliver(handle Handler) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	return s.in.deliver(handle)
}

func (s *blocking) Write(p []byte) (int, error) { return s.out.Write(p) }

func (s *blocking) Flush(wait bool) (done bool, err error) {
	s.out.flushing.Lock()
	defer s.out.flushing.Unlock()
	if !s.out.loadLocked() {
		return true, nil
	}
	if !wait {
		return false, nil
	}
	s.out.stuckLocked()
	n, err := s.conn.Write(s.out.going[:min(len(s.out.going), piece)])
	s.out.sentLocked(n)
	return err == nil && !s.out.loadLocked(), err
}

func (s *blocking) Close() error {
	s.closed.Store(true)
	return s.closer.Close()
}
