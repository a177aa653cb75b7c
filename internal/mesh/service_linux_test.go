package mesh

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/detour-relay/detour/key"
)

// A name with an address for each relay, this one among them, as a headless
// service of Kubernetes has; all show a certificate for the name.
func TestRelaysBehindOneName(t *testing.T) {
	config, _, leaf := selfSigned(t, "relays.example.com", key.NewPrivate().Public())
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	first := startNode(t, node{tls: config})
	_, port, _ := net.SplitHostPort(first.addr)
	nodes := []*node{
		first,
		startNode(t, node{tls: config, addr: "127.0.0.2:" + port}),
		startNode(t, node{tls: config, addr: "127.0.0.3:" + port}),
	}
	for _, n := range nodes {
		n.joinWith(Config{
			DNS:     []string{"relays.example.com:" + port},
			RootCAs: roots,
			LookupNetIP: func(context.Context, string, string) (addrs []netip.Addr, err error) {
				for _, addr := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
					addrs = append(addrs, netip.MustParseAddr(addr))
				}
				return addrs, nil
			},
		})
	}
	for _, n := range nodes {
		n.wantLinks(Linked, 2)
		n.wantLinks(Self, 1)
	}
}

// A link that the other side does not acknowledge is ended by the kernel.
func TestDialledSocketsHaveTheUserTimeout(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := dialTCP(t.Context(), netip.MustParseAddrPort(listener.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) })
	if err != nil || got != int(userTimeout.Milliseconds()) {
		t.Errorf("TCP_USER_TIMEOUT is %d ms (%v), want %v", got, err, userTimeout)
	}
}
