//go:build !freebsd || cgo

package wgproxy

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/detour-relay/detour/key"
)

// system is a device of this machine, as the program wg sees it.
type system struct {
	name   string
	client *wgctrl.Client
}

// Find opens the device of an interface of this machine. Its errors, and those of the
// device, are those of this package.
func Find(name string) (Device, error) {
	client, err := wgctrl.New()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, classify(err))
	}
	d := &system{name, client}
	if _, err := d.Read(); err != nil {
		client.Close()
		if errors.Is(err, ErrGone) {
			err = fmt.Errorf("%s: %w", name, d.missing())
		}
		return nil, err
	}
	if _, err := net.InterfaceByName(name); err != nil { // a socket in the file system is seen from everywhere
		client.Close()
		return nil, fmt.Errorf("%s: %w", name, ErrElsewhere)
	}
	return d, nil
}

// missing says why there is no device.
func (d *system) missing() error {
	if _, err := net.InterfaceByName(d.name); err != nil {
		return ErrNoInterface
	}
	return ErrNoWireGuard
}

func (d *system) Close() error { return d.client.Close() }

func (d *system) Read() (State, error) {
	found, err := d.client.Device(d.name)
	if err != nil {
		return State{}, fmt.Errorf("%s: %w", d.name, classify(err))
	}
	return stateOf(found)
}

// classify says what an error of the library means.
func classify(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENODEV):
		return ErrGone
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrNoRight, err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrUnresponsive, err)
	}
	return err
}

// stateOf reads what the library says.
func stateOf(found *wgtypes.Device) (s State, err error) {
	s = State{Port: uint16(found.ListenPort), Mark: uint32(found.FirewallMark), Peers: make(map[key.Public]netip.AddrPort, len(found.Peers))}
	if found.PrivateKey != (wgtypes.Key{}) {
		if s.Key, err = key.ParsePrivate(fmt.Sprintf("privkey:%x", found.PrivateKey[:])); err != nil {
			return s, fmt.Errorf("%s: private key: %w", found.Name, err)
		}
	}
	for _, p := range found.Peers {
		var at netip.AddrPort
		if p.Endpoint != nil {
			at = p.Endpoint.AddrPort()
			at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
		}
		s.Peers[key.Public(p.PublicKey)] = at
		for _, allowed := range p.AllowedIPs {
			if ones, _ := allowed.Mask.Size(); ones == 0 {
				s.Everything = true
			}
		}
	}
	return s, nil
}

func (d *system) SetEndpoints(all map[key.Public]netip.AddrPort) error {
	var cfg wgtypes.Config
	for k, at := range all {
		cfg.Peers = append(cfg.Peers, wgtypes.PeerConfig{PublicKey: wgtypes.Key(k), UpdateOnly: true, Endpoint: net.UDPAddrFromAddrPort(at)})
	}
	if err := d.client.ConfigureDevice(d.name, cfg); err != nil {
		return fmt.Errorf("%s: set endpoints: %w", d.name, classify(err))
	}
	return nil
}

// Names are the interfaces of the WireGuards of this machine, as far as this user may know.
func Names() (names []string) {
	client, err := wgctrl.New()
	if err != nil {
		return nil
	}
	defer client.Close()
	all, _ := client.Devices()
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names
}
