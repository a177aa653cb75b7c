//go:build !linux

package stun

import (
	"net"
	"os"
)

// A socket is the responder's.
type socket struct{ *net.UDPConn }

func takeSocket(conn *net.UDPConn) (*socket, error) { return &socket{conn}, nil }

// file returns a copy.
func (s *socket) file() (*os.File, error) { return s.File() }
