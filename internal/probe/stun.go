package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/stun"
)

// stunWaits is how long to wait after each request: a datagram may get lost. Where
// nobody says that there is STUN at all, it is half that.
func (n *node) stunWaits() []time.Duration {
	wait := time.Second
	if n.node == nil {
		wait /= 2
	}
	return []time.Duration{wait / 2, wait, wait}
}

// checkSTUN asks where clients do, and for whom we are.
func (n *node) checkSTUN(f int) func(context.Context) Check {
	return func(ctx context.Context) Check {
		addr, none := n.stunAddr(f)
		switch {
		case n.stunPort() == 0:
			return skip("the map says that there is none (STUNPort -1)")
		case none != "":
			return skip("%s", none)
		case n.stunPort() > 0xffff:
			return fail("UDP has no port %d", n.stunPort()).do("correct the node's STUNPort")
		case !hasRoute(addr):
			return skip("this machine has no way to %s", addr)
		}
		return n.askSTUN(ctx, families[f], netip.AddrPortFrom(addr, uint16(n.stunPort())))
	}
}

// stunAddr is the address to ask, or why there is none.
func (n *node) stunAddr(f int) (addr netip.Addr, none string) {
	if n.node != nil && n.node.STUNTestIP != "" {
		addr, err := netip.ParseAddr(n.node.STUNTestIP)
		if err != nil || !families[f].has(addr) {
			return addr, "STUNTestIP is " + line("%.60q", n.node.STUNTestIP)
		}
		return addr.Unmap(), ""
	}
	if a := n.ways[f]; len(a.to) == 0 {
		return addr, a.none
	}
	return n.ways[f].to[0], ""
}

func (n *node) askSTUN(ctx context.Context, f family, at netip.AddrPort) Check {
	conn, err := net.ListenUDP(f.udp, nil)
	if err != nil {
		return skip("this machine cannot send over %s: %v", f.name, err)
	}
	socket := &listeningSocket{UDPConn: conn, at: at}
	prober := stun.NewProber(socket)
	defer prober.Close()
	result, err := prober.Probe(ctx, at, n.stunWaits()...)
	useless, isUseless := errors.AsType[*stun.AnswerError](err)
	switch {
	case err == nil && !f.has(result.Public.Addr()):
		return warn("%v in %s; it says that we are %v, which is no address of %s", at, short(result.RoundTrip), result.Public, f.name).
			do("see what answers STUN on UDP port %d: clients learn no address from it", at.Port())
	case err == nil:
		return ok("%v in %s; we are %v", at, short(result.RoundTrip), result.Public)
	case n.node == nil:
		return skip("no answer from UDP %v; a URL does not say whether there should be one", at)
	case isUseless:
		return fail("what answers at UDP %v does not say who we are: %v", at, useless).
			do("have STUN answer on UDP port %d, without a login (as TURN wants), or correct the node's STUNPort", at.Port())
	case socket.heard.Load():
		return fail("what answers on UDP %v does not do so as STUN servers do", at).
			do("correct the node's STUNPort, or have STUN answer there in place of what does")
	}
	return fail("no answer from UDP %v", at).
		do("let UDP port %d through the firewall and have STUN answer there, or write STUNPort -1", at.Port())
}

// listeningSocket notes whether anything at all comes from an address.
type listeningSocket struct {
	*net.UDPConn
	at    netip.AddrPort
	heard atomic.Bool
}

func (s *listeningSocket) ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error) {
	n, from, err = s.UDPConn.ReadFromUDPAddrPort(b)
	if err == nil && netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) == s.at {
		s.heard.Store(true)
	}
	return n, from, err
}
