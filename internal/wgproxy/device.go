package wgproxy

import (
	"errors"
	"net/netip"

	"github.com/detour-relay/detour/key"
)

// What is wrong with a device.
var (
	ErrNoInterface  = errors.New("there is no such interface")
	ErrNoWireGuard  = errors.New("the interface is no WireGuard: neither the kernel nor a program answers for it")
	ErrElsewhere    = errors.New("a WireGuard of that name answers, but its interface is in another network namespace")
	ErrNoRight      = errors.New("this user may not read and change WireGuard's settings")
	ErrNoKey        = errors.New("the interface has no private key")
	ErrGone         = errors.New("the interface is gone")
	ErrUnresponsive = errors.New("the program that has the interface does not answer")
)

// State is what a device is set to.
type State struct {
	Key   key.Private // zero: it has none yet
	Port  uint16      // where it listens; 0: nowhere yet
	Mark  uint32      // of its packets, for rules of routing; 0: none
	Peers map[key.Public]netip.AddrPort

	// Everything reports whether all packets of the system may go to a peer: one of them
	// is allowed 0.0.0.0/0 or ::/0.
	Everything bool
}

// A Device is a WireGuard whose peers may get other endpoints. Peers has the endpoint of
// each, not valid where it has none.
type Device interface {
	Read() (State, error)

	// SetEndpoints gives endpoints to peers that the device has, and passes over others.
	SetEndpoints(map[key.Public]netip.AddrPort) error
	Close() error
}
