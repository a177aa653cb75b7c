// Package hostnet is an interface of this machine for a tunnel: a TUN device with its
// addresses, and a route for each member. There are no routes for whole ranges, since a
// tailnet shares its range with others (100.64.0.0/10 is that of other tailnets, and of
// providers), and no rules, so nothing but packets to members comes into the tunnel.
//
// The interface is there as long as the process is, with its addresses and routes: one
// that is killed leaves nothing behind.
//
// Linux is configured by netlink. macOS has utun and Windows has Wintun (wintun.dll has
// to be beside the program); there ifconfig, route and netsh do the rest. Those two
// compile, and nobody has run them yet.
package hostnet

import "errors"

// Why there is no interface.
var (
	// ErrNoTUN: the system has no TUN devices, or none where we look.
	ErrNoTUN = errors.New("this system has no TUN device")
	// ErrNoRight: this user may make no interface.
	ErrNoRight = errors.New("this user may make no network interface")
	// ErrTaken: an interface of that name is there.
	ErrTaken = errors.New("an interface of that name is there already")
	// ErrCollides: an address of the tunnel is one of this machine already.
	ErrCollides = errors.New("the address is one of this machine already")
	// ErrAstray: the system sends packets to a member elsewhere.
	ErrAstray = errors.New("packets to it do not go into the tunnel")
)

// Config says how the interface is to be.
type Config struct {
	Name string // empty: one that is free
	MTU  int
}
