//go:build !linux

package main

import (
	"errors"
	"net/netip"
)

// datagrams exists on Linux only.
type datagrams struct{}

func dialDatagrams(netip.AddrPort, [][]byte, [][]byte) (*datagrams, error) {
	return nil, errors.ErrUnsupported
}

func (*datagrams) local() (netip.AddrPort, error) { return netip.AddrPort{}, errors.ErrUnsupported }
func (*datagrams) receive() ([]int, error)        { return nil, errors.ErrUnsupported }
func (*datagrams) send([]int) error               { return errors.ErrUnsupported }
func (*datagrams) close()                         {}
