package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/windows"
)

// anyName is the one that Wintun gives; a second tunnel needs another.
const anyName = "Detour"

func explain(err error) error {
	switch {
	case errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return fmt.Errorf("%w: %w", ErrNoRight, err)
	case errors.Is(err, windows.ERROR_ALREADY_EXISTS):
		return fmt.Errorf("%w: %w", ErrTaken, err)
	case errors.Is(err, windows.ERROR_MOD_NOT_FOUND):
		return fmt.Errorf("%w (wintun.dll, from wintun.net, has to be beside the program): %w", ErrNoTUN, err)
	}
	return fmt.Errorf("make the interface: %w", err)
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

func (n *Network) up(mtu int) error {
	return errors.Join(
		run("netsh", "interface", "ipv4", "set", "subinterface", n.name, "mtu="+strconv.Itoa(mtu), "store=active"),
		run("netsh", "interface", "ipv6", "set", "subinterface", n.name, "mtu="+strconv.Itoa(mtu), "store=active"),
	)
}

func (n *Network) address(add bool, a netip.Addr) error {
	if !add {
		return run("netsh", "interface", family(a), "delete", "address", n.name, a.String())
	}
	if a.Is4() {
		return run("netsh", "interface", "ipv4", "add", "address", n.name, a.String(), "255.255.255.255", "store=active")
	}
	return run("netsh", "interface", "ipv6", "add", "address", n.name, a.String()+"/128", "store=active")
}

func (n *Network) route(add bool, a netip.Addr) error {
	what := "delete"
	if add {
		what = "add"
	}
	return run("netsh", "interface", family(a), what, "route", netip.PrefixFrom(a, a.BitLen()).String(), n.name, "store=active")
}
