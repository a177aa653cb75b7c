package stun

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/detour-relay/detour/internal/reach/errno"
)

// receiveBuffer is asked of the system, which may give less: bursts of
// requests wait there while the responder is not scheduled.
const receiveBuffer = 1 << 20

// Listen opens the UDP socket at config.Addr and returns a responder for it.
// Its errors say what to do.
func Listen(ctx context.Context, config Config) (*Responder, error) {
	if config.Addr == "" {
		config.Addr = DefaultAddr
	}
	network, err := networkOf(config.Addr)
	if err != nil {
		return nil, err
	}
	var l net.ListenConfig
	conn, err := l.ListenPacket(ctx, network, config.Addr)
	if err != nil {
		return nil, fmt.Errorf("STUN: cannot listen on UDP %s: %w", config.Addr, errno.BindError(err, taken))
	}
	return New(conn.(*net.UDPConn), config)
}

// CheckAddr says what is wrong with an address to listen on.
func CheckAddr(addr string) error {
	if _, err := networkOf(addr); err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	if _, err := net.LookupPort("udp", port); err != nil {
		return fmt.Errorf("STUN: %q: no such port: want a number from 0 to 65535", addr)
	}
	return nil
}

// networkOf returns "udp" for all addresses of both families, and the family
// of the address for others: "0.0.0.0" shall mean what it says.
func networkOf(hostPort string) (string, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return "", fmt.Errorf("STUN: %q is no address to listen on: %w: write host:port or :port, as in %s",
			hostPort, err, DefaultAddr)
	}
	if port == "" {
		return "", fmt.Errorf("STUN: %q has no port to listen on: write host:port or :port, as in %s", hostPort, DefaultAddr)
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil: // none, or a name
		return "udp", nil
	case addr.Is4():
		return "udp4", nil
	case addr == netip.IPv6Unspecified():
		return "udp", nil
	default:
		return "udp6", nil
	}
}

// taken is what an operator does about a port that something else has.
const taken = "another STUN server has the port (another relay, coturn, stund?): stop it, or give this one another " +
	"address and say so in the DERP map (STUNPort), or switch STUN off"
