//go:build unix

package netio

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"
)

// TCP returns a stream over a plain TCP conn, which the stream owns from now
// on. buffered are bytes that were already read from c; they are copied. It is read by
// one of the loops; nil: by a goroutine of its own.
func (l *Loops) TCP(c net.Conn, buffered []byte) (Stream, error) {
	sock, half, err := l.socket(c)
	if err == errNoSocket {
		return Blocking(c, buffered), nil
	}
	if err != nil {
		return nil, err
	}
	half.in.preload(buffered)
	half.in.preload(aheadOf(c))
	s := &tcpStream{sock: sock, half: half}
	half.taker = s
	return s, nil
}

// TLS returns a stream over c, a TLS conn whose handshake is done and whose
// transport is w. It owns both from now on. buffered are plaintext bytes that
// were already read from c; they are copied.
func (l *Loops) TLS(c *tls.Conn, w *Wire, buffered []byte) (Stream, error) {
	ahead := aheadOf(w.Conn)
	sock, half, err := l.socket(w.Conn)
	if err == errNoSocket {
		return newBlocking(w.Counted(c), w.Conn, buffered), nil
	}
	if err != nil {
		return nil, err
	}
	s := &tlsStream{sock: sock, half: half, conn: c, wire: w, plain: readBuf{guest: half.in.guest}}
	s.plain.preload(buffered)
	half.in.preload(ahead)
	half.taker = s
	w.takeOver(&half.out)
	return s, nil
}

type tcpStream struct {
	sock   kernelSocket
	half   *half
	handle Handler // owned by the reader
}

func (s *tcpStream) ReadBursts(handle func([]byte) (int, error)) error {
	s.handle = handle
	return s.sock.read()
}

func (s *tcpStream) StartBursts(handle Handler, ended func(error)) {
	s.handle = handle
	s.sock.start(ended)
}

func (s *tcpStream) take(in *readBuf) error { return in.deliver(s.handle) }

func (s *tcpStream) rest(bool) {}

func (s *tcpStream) LimitBursts(bytes int) { s.half.most = uint32(bytes) }

func (s *tcpStream) AfterRound(f interface{ RoundEnded(reader int) }) { s.sock.afterRound(f) }

func (s *tcpStream) Reader() int { return s.sock.reader() }

func (s *tcpStream) RoundTrip() time.Duration { return s.sock.roundTrip() }

func (s *tcpStream) Write(p []byte) (int, error) { return s.half.out.Write(p) }

func (s *tcpStream) Flush(wait bool) (bool, error) { return flush(s.sock, s.half, wait) }

func (s *tcpStream) Close() error { return s.sock.close() }

// tlsStream runs crypto/tls over memory: ciphertext bursts go in, staged
// records come out, and the system calls are the socket's alone.
type tlsStream struct {
	sock kernelSocket
	half *half
	conn *tls.Conn
	wire *Wire

	// Owned by the reader.
	plain   readBuf
	records recordRoom
	handle  Handler

	begun    atomic.Uint32 // bytes of the record that has not come whole
	watching atomic.Bool   // a timer runs for staged answers
}

func (s *tlsStream) ReadBursts(handle func([]byte) (int, error)) error {
	s.handOver(handle)
	return s.sock.read()
}

func (s *tlsStream) StartBursts(handle Handler, ended func(error)) {
	s.handOver(handle)
	s.sock.start(ended)
}

// handOver has another handler take what comes, who knows of no record yet.
func (s *tlsStream) handOver(handle Handler) {
	s.handle = handle
	s.begun.Store(0)
}

func (s *tlsStream) Begun() int { return int(s.begun.Load()) }

func (s *tlsStream) rest(forGood bool) { s.plain.end(forGood) }

// take opens every complete record of the burst and delivers the plaintext.
// What is left of the burst stands in front of the next: an incomplete record,
// for which the TLS conn would take room for a whole one at once, or what the
// handler did not let it open. Whether there is an incomplete one the handler hears
// by an empty burst, if there is no other.
func (s *tlsStream) take(cipher *readBuf) error {
	held := cipher.held()
	whole := s.wire.controls.whole(held)
	part := len(held) - whole
	wasBegun := s.begun.Swap(uint32(part)) > 0
	s.wire.feed(held[:whole])
	s.records.lend(s.conn)
	delivered, err := s.open()
	if err == nil && !delivered && wasBegun != (part > 0) {
		_, err = s.handle(nil)
	}
	cipher.keepLast(s.wire.unread() + part)
	return cmp.Or(err, s.sendAnswers()) // an error may leave an alert to be sent
}

// open reports besides whether the handler has got something.
func (s *tlsStream) open() (delivered bool, err error) {
	for {
		room := s.plain.room()
		if len(room) == 0 {
			return delivered, ErrBurstTooLong
		}
		n, err := s.conn.Read(room)
		if n > 0 {
			s.wire.controls.took()
		}
		s.plain.add(n)
		if err == nil && s.plain.n < s.plain.burst() {
			continue
		}
		delivered = delivered || s.plain.n > 0
		if handleErr := s.plain.deliver(s.handle); handleErr != nil {
			return delivered, handleErr
		}
		if errors.Is(err, errDry) {
			s.records.takeBack(s.conn)
			s.plain.park()
			return delivered, nil
		}
		if err != nil {
			return delivered, err
		}
	}
}

func (s *tlsStream) LimitBursts(bytes int) { s.half.most = uint32(bytes) }

func (s *tlsStream) AfterRound(f interface{ RoundEnded(reader int) }) { s.sock.afterRound(f) }

func (s *tlsStream) Reader() int { return s.sock.reader() }

func (s *tlsStream) RoundTrip() time.Duration { return s.sock.roundTrip() }

func (s *tlsStream) Write(p []byte) (int, error) { return s.conn.Write(p) }

func (s *tlsStream) Flush(wait bool) (bool, error) { return flush(s.sock, s.half, wait) }

func (s *tlsStream) Close() error { return s.sock.close() }
