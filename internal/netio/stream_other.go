//go:build !unix

package netio

import (
	"crypto/tls"
	"net"
)

// TCP returns a stream over c, which the stream owns from now on. buffered are
// bytes that were already read from c; they are copied.
func (l *Loops) TCP(c net.Conn, buffered []byte) (Stream, error) {
	return Blocking(c, buffered), nil
}

// TLS returns a stream over c, which the stream owns from now on. buffered are
// plaintext bytes that were already read from c; they are copied.
func (l *Loops) TLS(c *tls.Conn, w *Wire, buffered []byte) (Stream, error) {
	return newBlocking(w.Counted(c), w.Conn, buffered), nil
}
