package hostnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// anyName has the kernel choose the number.
const anyName = "utun"

func explain(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: %w", ErrNoRight, err)
	}
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%w: %w", ErrTaken, err)
	}
	return fmt.Errorf("make the interface: %w", err)
}

func (n *Network) up(mtu int) error {
	return run("ifconfig", n.name, "mtu", strconv.Itoa(mtu), "up")
}

func (n *Network) address(add bool, a netip.Addr) error {
	what := "-alias"
	if add {
		what = "alias"
	}
	if a.Is4() {
		return run("ifconfig", n.name, "inet", a.String(), a.String(), what)
	}
	return run("ifconfig", n.name, "inet6", a.String(), "prefixlen", "128", what)
}

func (n *Network) route(add bool, a netip.Addr) error {
	what, family := "delete", "-inet6"
	if add {
		what = "add"
	}
	if a.Is4() {
		family = "-inet"
	}
	return run("route", "-q", "-n", what, family, "-host", a.String(), "-interface", n.name)
}
