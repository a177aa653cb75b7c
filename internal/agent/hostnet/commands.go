//go:build darwin || windows

package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
)

// A Network is an interface of this machine.
type Network struct {
	device tun.Device
	name   string

	mu        sync.Mutex
	addresses map[netip.Addr]bool // guarded by mu: what was set
	routes    map[netip.Addr]bool // guarded by mu: what was set
}

// Open makes the interface. Whoever has it closes its device.
func Open(cfg Config) (*Network, error) {
	name := cfg.Name
	if name == "" {
		name = anyName
	}
	device, err := tun.CreateTUN(name, cfg.MTU)
	if err != nil {
		return nil, explain(err)
	}
	n := &Network{device: device, addresses: make(map[netip.Addr]bool), routes: make(map[netip.Addr]bool)}
	if n.name, err = device.Name(); err == nil {
		err = n.up(cfg.MTU)
	}
	if err != nil {
		device.Close()
		return nil, err
	}
	return n, nil
}

// Device is what the packets pass.
func (n *Network) Device() tun.Device { return n.device }

// HasIPv6 reports whether the interface can have addresses of IPv6, as far as anybody
// knows here.
func (n *Network) HasIPv6() bool { return true }

// SetAddresses gives the interface these addresses. It remembers what it has set, and does
// not look.
func (n *Network) SetAddresses(own []netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return change(n.addresses, own, n.address)
}

// SetRoutes gives the interface a route to each of these, and takes back the others.
func (n *Network) SetRoutes(others []netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return change(n.routes, others, n.route)
}

// change has those added that are wanted and not there, and the others deleted.
func change(there map[netip.Addr]bool, wanted []netip.Addr, do func(add bool, a netip.Addr) error) (err error) {
	keep := make(map[netip.Addr]bool, len(wanted))
	for _, a := range wanted {
		keep[a] = true
		if !there[a] {
			if failed := do(true, a); failed != nil {
				err = errors.Join(err, failed)
				continue
			}
			there[a] = true
		}
	}
	for a := range there {
		if !keep[a] {
			err = errors.Join(err, do(false, a))
			delete(there, a)
		}
	}
	return err
}

// run has a program of the system do something.
func run(program string, args ...string) error {
	said, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w (%s)", program, strings.Join(args, " "), err, strings.Join(strings.Fields(string(said)), " "))
	}
	return nil
}
