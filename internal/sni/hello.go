package sni

import (
	"crypto/tls"
	"errors"
	"net"
)

// MostAhead bounds what is kept of a connection until its name is known: a hello of the
// largest size in small records, and what a client sends behind it without waiting.
const MostAhead = 128 << 10

var errLong = errors.New("sni: the ClientHello does not end")

// A Hello is a connection of which the name is not known yet: it keeps what is read of
// it, and once it is diverted nothing is written to it.
type Hello struct {
	net.Conn
	ahead    []byte
	diverted bool
}

// Listen returns c as it is to be read until its name is known.
func Listen(c net.Conn) *Hello { return &Hello{Conn: c} }

// Read implements net.Conn.
func (h *Hello) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if len(h.ahead)+n > MostAhead {
		return 0, errLong
	}
	h.ahead = append(h.ahead, p[:n]...)
	return n, err
}

// Write implements net.Conn. crypto/tls would send an alert to a connection that is not
// the relay's.
func (h *Hello) Write(p []byte) (int, error) {
	if h.diverted {
		return len(p), nil
	}
	return h.Conn.Write(p)
}

// Divert has nothing be written any more.
func (h *Hello) Divert() { h.diverted = true }

// Ahead is what was read. It belongs to the caller.
func (h *Hello) Ahead() []byte { return h.ahead }

// Reading returns a configuration whose handshakes have judge see who says hello before
// anything is answered. What judge returns an error for ends there.
func Reading(config *tls.Config, judge func(*tls.ClientHelloInfo) error) *tls.Config {
	c := config.Clone()
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return nil, judge(hello) }
	return c
}
