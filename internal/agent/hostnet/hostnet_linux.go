package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// anyName has the kernel choose the number.
const anyName = "detour%d"

const tunFile = "/dev/net/tun"

// A Network is an interface of this machine.
type Network struct {
	device tun.Device
	link   netlink.Link
}

// Open makes the interface, and has it up. Whoever has it closes its device.
func Open(cfg Config) (*Network, error) {
	name := cfg.Name
	if name == "" {
		name = anyName
	}
	device, err := tun.CreateTUN(name, cfg.MTU)
	if err != nil {
		return nil, explain(cfg.Name, err)
	}
	n := &Network{device: device}
	if err := n.up(); err != nil {
		device.Close()
		return nil, explain(cfg.Name, err)
	}
	return n, nil
}

func (n *Network) up() error {
	name, err := n.device.Name()
	if err != nil {
		return err
	}
	if n.link, err = netlink.LinkByName(name); err != nil {
		return err
	}
	return netlink.LinkSetUp(n.link)
}

func explain(name string, err error) error {
	switch {
	case errors.Is(err, unix.EACCES): // which the file says, while the capability is EPERM's
		return fmt.Errorf("%w: %s is not for this user (chmod 666 makes it one for all, and CAP_NET_ADMIN is needed besides): %w", ErrNoRight, tunFile, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", ErrNoRight, err)
	case isThere(name):
		return fmt.Errorf("%s: %w: %w", name, ErrTaken, err)
	}
	if _, missing := os.Stat(tunFile); missing != nil || errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("%w: %w", ErrNoTUN, err)
	}
	return fmt.Errorf("make the interface: %w", err)
}

func isThere(name string) bool {
	_, err := net.InterfaceByName(name)
	return name != "" && err == nil
}

// Device is what the packets pass.
func (n *Network) Device() tun.Device { return n.device }

// HasIPv6 reports whether the interface can have addresses of IPv6.
func (n *Network) HasIPv6() bool {
	text, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv6/conf", n.link.Attrs().Name, "disable_ipv6"))
	return err == nil && strings.TrimSpace(string(text)) == "0"
}

// possible leaves out the addresses of IPv6, if this machine is without.
func (n *Network) possible(all []netip.Addr) map[netip.Addr]bool {
	hasIPv6 := n.HasIPv6()
	some := make(map[netip.Addr]bool, len(all))
	for _, a := range all {
		if a.Is4() || hasIPv6 {
			some[a] = true
		}
	}
	return some
}

// SetAddresses gives the interface these addresses. It looks at those of all interfaces,
// to see what collides, and takes back what somebody else has set.
func (n *Network) SetAddresses(own []netip.Addr) error {
	there, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("addresses of this machine: %w", err)
	}
	wanted := n.possible(own)
	for _, has := range there {
		a, ours := addrOf(has.IP), has.LinkIndex == n.link.Attrs().Index
		switch {
		case ours && wanted[a]:
			delete(wanted, a)
		case ours && !a.IsLinkLocalUnicast():
			err = errors.Join(err, failed(a, netlink.AddrDel(n.link, &has)))
		case !ours && wanted[a]:
			delete(wanted, a)
			err = errors.Join(err, fmt.Errorf("%v: %w (interface %s)", a, ErrCollides, nameOf(has.LinkIndex)))
		}
	}
	for a := range wanted {
		err = errors.Join(err, failed(a, netlink.AddrAdd(n.link, &netlink.Addr{IPNet: hostNet(a), Flags: unix.IFA_F_NODAD})))
	}
	return err
}

// SetRoutes gives the interface a route to each of these, and takes back the others. Then
// it looks which way packets to them take: rules of others may count more.
func (n *Network) SetRoutes(others []netip.Addr) error {
	return errors.Join(n.setRoutes(others), n.checkRoutes(others))
}

// mostAstray is of how many addresses it is said that packets to them go astray.
const mostAstray = 3

// checkRoutes names addresses to which packets do not take this interface.
func (n *Network) checkRoutes(others []netip.Addr) (err error) {
	astray := 0
	for a := range n.possible(others) {
		ways, failure := netlink.RouteGet(a.AsSlice())
		if failure != nil || len(ways) == 0 || ways[0].LinkIndex == n.link.Attrs().Index {
			continue // what has no way was told by setRoutes
		}
		if astray++; astray <= mostAstray {
			err = errors.Join(err, fmt.Errorf("%v: %w (interface %s): ip route get %v shows how", a, ErrAstray, nameOf(ways[0].LinkIndex), a))
		}
	}
	if astray > mostAstray {
		err = errors.Join(err, fmt.Errorf("and so of %d more", astray-mostAstray))
	}
	return err
}

func (n *Network) setRoutes(others []netip.Addr) error {
	there, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{LinkIndex: n.link.Attrs().Index}, netlink.RT_FILTER_OIF)
	if err != nil {
		return fmt.Errorf("routes of this machine: %w", err)
	}
	wanted := n.possible(others)
	for _, has := range there {
		if has.Protocol == unix.RTPROT_KERNEL || has.Dst == nil {
			continue
		}
		if a := addrOf(has.Dst.IP); wanted[a] && isHost(has.Dst) {
			delete(wanted, a)
		} else {
			err = errors.Join(err, failed(a, netlink.RouteDel(&has)))
		}
	}
	for a := range wanted {
		route := &netlink.Route{LinkIndex: n.link.Attrs().Index, Dst: hostNet(a), Scope: netlink.SCOPE_LINK, Protocol: unix.RTPROT_STATIC}
		failure := netlink.RouteAdd(route)
		if errors.Is(failure, unix.EEXIST) {
			failure = errors.New("there is a route to it already, by another interface")
		}
		err = errors.Join(err, failed(a, failure))
	}
	return err
}

func failed(a netip.Addr, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%v: %w", a, err)
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func isHost(n *net.IPNet) bool {
	ones, bits := n.Mask.Size()
	return ones == bits
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func nameOf(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return fmt.Sprint(index)
}
