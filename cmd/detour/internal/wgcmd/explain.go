package wgcmd

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/detour-relay/detour/internal/wgproxy"
)

// explainText is explain, as a text.
func explainText(name string, err error) string { return explained(name, err).Error() }

// explained says of a WireGuard that cannot be used what to do.
func explained(name string, err error) error {
	for _, e := range []struct {
		is     error
		remedy string
	}{
		{wgproxy.ErrNoInterface, "bring it up first (wg-quick up " + name + ", or wireguard-go " + name + ")" + others()},
		{wgproxy.ErrNoWireGuard, "start the program that has it (wireguard-go), as a user whose socket this one may use" + others()},
		{wgproxy.ErrElsewhere, "run this there, too (ip netns exec NAME detour wg " + name + ")"},
		{wgproxy.ErrNoRight, "be root, or give this program the right (CAP_NET_ADMIN)"},
		{wgproxy.ErrNoKey, "give it one (wg genkey | wg set " + name + " private-key /dev/stdin)"},
		{wgproxy.ErrGone, "bring it up, and start this again"},
		{wgproxy.ErrUnresponsive, "start that again; what is at /var/run/wireguard/" + name + ".sock may be left from one that was killed"},
		{wgproxy.ErrInUse, "another \"detour wg\" stands before " + name + ": end that one"},
		{errOtherKey, "start this again with an invite and another --state"},
		{syscall.EADDRNOTAVAIL, "is the loopback up (ip link set lo up)?"},
		{syscall.EMFILE, "each peer takes a socket: allow more open files (ulimit -n)"},
	} {
		if errors.Is(err, e.is) {
			return fmt.Errorf("%w: %s", err, e.remedy)
		}
	}
	return err
}

// others names the WireGuards that there are.
func others() string {
	if names := wgproxy.Names(); len(names) > 0 {
		return "; this machine has " + strings.Join(names, ", ")
	}
	return ""
}
