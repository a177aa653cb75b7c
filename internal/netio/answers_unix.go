//go:build unix

package netio

import (
	"time"
)

const (
	// answerTimeout is how long answers may wait for a socket that takes nothing.
	// The engine gives its own bytes as long.
	answerTimeout = 2 * time.Second

	// mostAnswers bounds what is staged: 64 KiB of the 27-byte records.
	mostAnswers = 64 << 10 / 27
)

// sendAnswers sends what the TLS layer staged while it read (alerts, answers to
// key updates), unless somebody is sending anyway.
func (s *tlsStream) sendAnswers() error {
	unpaid := &s.wire.controls.unpaid
	if s.half.out.empty() {
		*unpaid = 0
		return nil
	}
	if *unpaid > mostAnswers {
		return ErrAnswersUnread
	}
	if !s.half.out.flushing.TryLock() {
		return nil
	}
	done, err := s.sock.flushLocked(false)
	s.half.out.flushing.Unlock()
	if err == nil && !done && *unpaid > 0 && !s.watching.Swap(true) {
		time.AfterFunc(answerTimeout, s.expireAnswers)
	}
	return err
}

// expireAnswers ends the stream if the socket has taken nothing for the time
// that answers have. The engine watches only what it has sent itself.
func (s *tlsStream) expireAnswers() {
	if s.half.closed.Load() {
		return
	}
	if s.half.out.flushing.TryLock() {
		done, err := s.sock.flushLocked(false)
		moved := s.half.progress
		s.half.out.flushing.Unlock()
		switch {
		case done:
			s.watching.Store(false)
			return
		case err != nil || !moved:
			s.half.because(ErrAnswersUnread)
			s.sock.close()
			return
		}
	}
	time.AfterFunc(answerTimeout, s.expireAnswers)
}
