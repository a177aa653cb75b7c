package mesh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/relay"
)

const (
	// tryBudget is how long a try may take until the sibling has told us of its
	// peers (spec 6.6).
	tryBudget = 10 * time.Second

	// connectTimeout is for TCP alone: siblings are near, and an address that
	// answers nothing must leave time for the next one.
	connectTimeout = 3 * time.Second

	// shortestShare is what an address gets of the budget at least.
	shortestShare = 2 * time.Second

	// userTimeout is how long sent bytes may stay unacknowledged, as on the
	// sibling's own side.
	userTimeout = 15 * time.Second

	maxAddrs = 16 // of one host, tried in turn
)

var errSlow = errors.New("it took too long")

// connect dials the addresses of a target in turn until one of them answers as a
// relay does. It calls dialling with each. ctx has a deadline.
func (m *Mesh) connect(ctx context.Context, to target, dialling func(netip.AddrPort)) (relay.Stream, netip.AddrPort, error) {
	addrs, err := m.resolve(ctx, to)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	var failures []string
	for i, addr := range addrs {
		at := netip.AddrPortFrom(addr, to.Port)
		dialling(at)
		share, cancel := context.WithTimeoutCause(ctx, shareOf(ctx, len(addrs)-i), errSlow)
		var stream relay.Stream
		stream, err = m.dial(share, to, at)
		cancel()
		if err == nil {
			return stream, at, nil
		}
		failures = append(failures, fmt.Sprintf("%v: %v", at, err))
	}
	if len(addrs) > 1 {
		err = errors.New(strings.Join(failures, "; "))
	}
	return nil, netip.AddrPort{}, err
}

// shareOf divides what is left of the context's time between n addresses.
func shareOf(ctx context.Context, n int) time.Duration {
	end, _ := ctx.Deadline()
	return max(time.Until(end)/time.Duration(n), shortestShare)
}

// resolve returns the addresses of a target.
func (m *Mesh) resolve(ctx context.Context, to target) ([]netip.Addr, error) {
	if to.addr.IsValid() {
		return []netip.Addr{to.addr}, nil
	}
	host := to.dialHost()
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	found, err := m.config.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err // names the host
	}
	addrs := distinct(found)
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return addrs[:min(len(addrs), maxAddrs)], nil
}

// distinct returns every address once, IPv4 as IPv4.
func distinct(found []netip.Addr) (addrs []netip.Addr) {
	for _, addr := range found {
		if addr = addr.Unmap(); addr.IsValid() && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// A dialer makes streams to siblings.
type dialer struct {
	roots *x509.CertPool
}

// dial connects to one address of a target and upgrades the connection. What
// comes next on the stream is the sibling's greeting.
func (d dialer) dial(ctx context.Context, to target, at netip.AddrPort) (relay.Stream, error) {
	raw, err := dialTCP(ctx, at)
	if err != nil {
		return nil, err
	}
	var stream relay.Stream
	err = reach.During(ctx, raw, func() (err error) {
		stream, err = d.upgradeTo(ctx, to, raw)
		return err
	})
	if err != nil {
		raw.Close()
		return nil, err
	}
	return stream, nil
}

func dialTCP(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{
		Timeout:   connectTimeout,
		KeepAlive: -1, // links have Pings
		Control:   func(_, _ string, c syscall.RawConn) error { return reach.SetUserTimeout(c, userTimeout) },
	}
	return d.DialContext(ctx, "tcp", at.String())
}

// upgradeTo goes up from TCP to the stream. The stream takes deadlines off.
func (d dialer) upgradeTo(ctx context.Context, to target, raw net.Conn) (relay.Stream, error) {
	way, err := d.way(to)
	if err != nil {
		return nil, err
	}
	if to.Plain {
		buffered, err := upgrade(way, raw)
		if err != nil {
			return nil, err
		}
		return netio.TCP(raw, buffered)
	}
	wire := netio.NewWire(raw)
	conn := tls.Client(wire, way.TLSConfig())
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	buffered, err := upgrade(way, conn)
	if err != nil {
		return nil, err
	}
	return netio.TLS(conn, wire, buffered)
}

// way returns what names and whose certificates a target goes by.
func (d dialer) way(to target) (*reach.Target, error) {
	cfg := reach.Config{URL: to.url(), RootCAs: d.roots}
	if !to.Pin.IsZero() {
		cfg.CertName = to.Pin.String()
	}
	return reach.New(cfg)
}

// upgrade asks the relay at the other end of conn to take the connection over, and
// returns what it has sent behind its answer.
func upgrade(way *reach.Target, conn net.Conn) (buffered []byte, err error) {
	_, buffered, err = way.Upgrade(conn, "")
	if err != nil {
		return nil, fmt.Errorf("%w: is this a relay, and nothing in between?", err)
	}
	return buffered, nil
}
