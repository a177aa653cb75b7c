package stun

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"syscall"
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
		return nil, fmt.Errorf("STUN: cannot listen on UDP %s: %w%s", config.Addr, err, remedy(err))
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

// remedy returns what an operator does about a failure to listen.
func remedy(err error) string {
	var dns *net.DNSError
	var errno syscall.Errno
	switch {
	case errors.As(err, &dns):
		return ": give an address of this machine, or only a port"
	case errors.Is(err, fs.ErrPermission):
		return ": take a port above 1023, or allow the process to bind lower ones (CAP_NET_BIND_SERVICE)"
	case errors.Is(err, syscall.EMFILE):
		return ": this process may open too few files and sockets: set LimitNOFILE= in its systemd unit, or raise it with ulimit -n"
	case errors.As(err, &errno) && errno == addressInUse:
		return ": another STUN server has the port (another relay, coturn, stund?): stop it, or give this one another " +
			"address and say so in the DERP map (STUNPort), or switch STUN off"
	case errors.As(err, &errno) && errno == addressNotAvailable:
		return ": no interface has this address: give one of this machine, or only a port"
	}
	return ""
}
