package usernet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	// nic is the number of the only interface that the stack has.
	nic = 1

	// What a connection has waiting, each way, in bytes. The most is what 200 Mbit/s have
	// under way in 80 ms.
	leastBuffer = 4 << 10
	usualBuffer = 512 << 10
	mostBuffer  = 2 << 20
)

// A Network is a stack, and the device that its packets pass.
type Network struct {
	stack *stack.Stack
	link  *link

	mu  sync.Mutex
	own []netip.Addr // guarded by mu: addresses that it has
}

// New makes a Network. Its packets have so many bytes at most.
func New(mtu int) (*Network, error) {
	ended := make(chan struct{})
	endpoint := newEndpoint(mtu, ended)
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		HandleLocal:        true,
	})
	sack := tcpip.TCPSACKEnabled(true) // it is off by itself
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return nil, fmt.Errorf("network within the process: %v", err)
	}
	recovery := tcpip.TCPRecovery(0) // without RACK: with it, what is lost can slow a connection to a hundredth
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &recovery); err != nil {
		return nil, fmt.Errorf("network within the process: %v", err)
	}
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: leastBuffer, Default: usualBuffer, Max: mostBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: leastBuffer, Default: usualBuffer, Max: mostBuffer}
	for _, size := range []tcpip.SettableTransportProtocolOption{&receive, &send} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, size); err != nil {
			return nil, fmt.Errorf("network within the process: %v", err)
		}
	}
	if err := s.CreateNIC(nic, endpoint); err != nil {
		return nil, fmt.Errorf("network within the process: %v", err)
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nic},
		{Destination: header.IPv6EmptySubnet, NIC: nic},
	})
	return &Network{stack: s, link: newLink(endpoint, s, mtu, ended)}, nil
}

// Device is what the packets pass. Closing it ends the stack.
func (n *Network) Device() tun.Device { return n.link }

// SetRoutes does nothing: whatever is sent to others goes to the device anyway.
func (n *Network) SetRoutes([]netip.Addr) error { return nil }

// SetAddresses gives the stack these addresses, and takes those before.
func (n *Network) SetAddresses(own []netip.Addr) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var have []netip.Addr
	for _, a := range n.own {
		if slices.Contains(own, a) {
			have = append(have, a)
			continue
		}
		if failed := n.stack.RemoveAddress(nic, tcpip.AddrFromSlice(a.AsSlice())); failed != nil {
			err = errors.Join(err, fmt.Errorf("address %v: %v", a, failed))
		}
	}
	for _, a := range own {
		if slices.Contains(have, a) {
			continue
		}
		if failed := n.stack.AddProtocolAddress(nic, protocolAddress(a), stack.AddressProperties{}); failed != nil {
			err = errors.Join(err, fmt.Errorf("address %v: %v", a, failed))
			continue
		}
		have = append(have, a)
	}
	n.own = have
	return err
}

func protocolAddress(a netip.Addr) tcpip.ProtocolAddress {
	return tcpip.ProtocolAddress{Protocol: protocolOf(a), AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix()}
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func fullAddress(to netip.AddrPort) tcpip.FullAddress {
	full := tcpip.FullAddress{NIC: nic, Port: to.Port()}
	if !to.Addr().IsUnspecified() {
		full.Addr = tcpip.AddrFromSlice(to.Addr().AsSlice())
	}
	return full
}

// DialTCP connects to a port of a member.
func (n *Network) DialTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	c, err := gonet.DialContextTCP(ctx, n.stack, fullAddress(to), protocolOf(to.Addr()))
	if err != nil {
		return nil, err // it may not be a nil of another type
	}
	return c, nil
}

// ListenTCP takes what members connect to: a port of one of the addresses, or with
// [netip.IPv6Unspecified] of all of them.
func (n *Network) ListenTCP(at netip.AddrPort) (net.Listener, error) {
	l, err := gonet.ListenTCP(n.stack, fullAddress(at), protocolOf(at.Addr()))
	if err != nil {
		return nil, fmt.Errorf("port %d of the tunnel: %w", at.Port(), err)
	}
	return l, nil
}
