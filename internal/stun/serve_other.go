//go:build !linux

package stun

import "net"

func (r *Responder) serve() error { return r.serveSingly(r.socket.UDPConn) }

func askForLocalAddr(*net.UDPConn) error { return nil }
