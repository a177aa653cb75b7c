//go:build !linux

package stun

import "net"

func (r *Responder) serve() error { return r.serveSingly() }

func askForLocalAddr(*net.UDPConn) error { return nil }
