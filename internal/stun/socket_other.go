//go:build !linux

package stun

import (
	"net"
	"os"
)

// A socket is the responder's.
type socket struct{ conn *net.UDPConn }

func takeSocket(conn *net.UDPConn) (*socket, error) { return &socket{conn}, nil }

func (s *socket) close() error { return s.conn.Close() }

// file returns a copy.
func (s *socket) file() (*os.File, error) { return s.conn.File() }
