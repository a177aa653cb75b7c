package edge

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/internal/netio"
)

// notTLSReply answers a peer that speaks plain HTTP to a TLS listener.
const notTLSReply = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"This port speaks TLS: use https://\n"

// secure completes the TLS handshake of a pending connection and gives it to
// net/http, which finds the handshake done. It returns what became of a connection that
// is not for the relay to answer.
func (s *Server) secure(t *tls.Conn, m *netio.Metered) *diverted {
	begun := time.Now()
	t.SetDeadline(begun.Add(s.config.HandshakeTimeout))
	if err := s.shake(t, m); err != nil {
		if d, ok := errors.AsType[*diverted](err); ok {
			return d
		}
		s.failed(t, err)
		return nil
	}
	t.SetDeadline(time.Time{})
	s.count.handshakes.Add(int64(time.Since(begun)), 1)
	if t.ConnectionState().Version == tls.VersionTLS12 {
		s.count.tls12.Add(1)
	} else {
		s.count.tls13.Add(1)
	}
	if proto := t.ConnectionState().NegotiatedProtocol; proto != "" && proto != "http/1.1" {
		s.pending.remove(t) // an authority has seen the certificate that it came for
		t.Close()
		return nil
	}
	s.handOver(t)
	return nil
}

// shake does the handshake, and computes when it is its turn.
func (s *Server) shake(t *tls.Conn, m *netio.Metered) error {
	turn := &turn{of: s.turns}
	m.InTurns(turn)
	defer m.InTurns(nil)
	defer turn.Leave()
	return t.Handshake()
}

// failed counts a handshake that came to nothing and closes the connection.
func (s *Server) failed(t *tls.Conn, err error) {
	reason := failureOf(err)
	if !s.pending.remove(t) {
		reason = failureCut
	}
	s.count.failures[reason].Add(1)
	s.config.Logger.Debug("TLS handshake failed", "conn", t.RemoteAddr(), "reason", reason, "error", err)
	notTLS, ok := errors.AsType[tls.RecordHeaderError](err)
	if ok && behind.Begins(notTLS.RecordHeader[:]) {
		s.refusedProxy(refusedUnexpected, t.RemoteAddr().String(), errUnexpected)
	}
	if ok && looksLikeHTTP(notTLS.RecordHeader) && notTLS.Conn != nil {
		notTLS.Conn.Write([]byte(notTLSReply)) // as a courtesy: it may fail
		notTLS.Conn.Close()
		return
	}
	closeNow(t.NetConn())
}

// failure is a reason why a TLS handshake failed.
type failure uint8

const (
	failureTimeout  failure = iota // too slow
	failureLeft                    // the peer closed the connection
	failureNotTLS                  // the peer speaks something else
	failureAlert                   // the peer refused us: a wrong pin, an unknown authority
	failureMismatch                // no common version, cipher or protocol, or garbage
	failureCut                     // evicted, expired or shut down
	failures                       // how many there are
)

var failureNames = [failures]string{"timeout", "left", "not TLS", "alert", "mismatch", "cut"}

func (f failure) String() string { return failureNames[f] }

// failureOf tells the reason from the error of a handshake.
func failureOf(err error) failure {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return failureTimeout
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return failureNotTLS
	}
	if isLeave(err) {
		return failureLeft
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return failureAlert // how crypto/tls marks an alert it received
	}
	return failureMismatch
}

// looksLikeHTTP reports whether the first bytes of a connection are those of a
// plain HTTP request.
func looksLikeHTTP(first [5]byte) bool {
	switch string(first[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "CONNE", "DELET", "PATCH", "TRACE":
		return true
	}
	return false
}

// isLeave reports whether an error says that the peer closed or reset the
// connection.
func isLeave(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
