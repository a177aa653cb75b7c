//go:build !linux && !darwin && !windows

package hostnet

import (
	"net/netip"

	"golang.zx2c4.com/wireguard/tun"
)

// A Network is an interface of this machine; on this system there is none.
type Network struct{}

// Open returns ErrNoTUN.
func Open(Config) (*Network, error) { return nil, ErrNoTUN }

// Device is what the packets pass.
func (n *Network) Device() tun.Device { return nil }

// HasIPv6 reports whether the interface can have addresses of IPv6, as far as anybody
// knows here.
func (n *Network) HasIPv6() bool { return true }

// SetAddresses gives the interface these addresses.
func (n *Network) SetAddresses([]netip.Addr) error { return nil }

// SetRoutes gives the interface a route to each of these.
func (n *Network) SetRoutes([]netip.Addr) error { return nil }
