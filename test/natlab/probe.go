package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// A prober finds out what kind of NAT a machine is behind, without any of the product:
// three sockets in the Internet, two of them at one address, tell who they are spoken to
// by (RFC 5780's tests).
type prober struct {
	sockets [3]*net.UDPConn
	running sync.WaitGroup
}

func (w *world) newProber() (p *prober, err error) {
	p = new(prober)
	one, other := w.services()
	err = w.internet.router.do(func() (err error) {
		for i, at := range []string{one, one, other} {
			if p.sockets[i], err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(at), Port: 5000 + i%2}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.close()
		return nil, fmt.Errorf("responders of the probes: %w", err)
	}
	for _, s := range p.sockets {
		p.running.Go(func() { p.answer(s) })
	}
	return p, nil
}

func (p *prober) close() {
	for _, s := range p.sockets {
		if s != nil {
			s.Close()
		}
	}
	p.running.Wait()
}

// answer tells everybody his address. To "all" all three say something, and who was asked
// is the last one.
func (p *prober) answer(s *net.UDPConn) {
	buf := make([]byte, 64)
	for {
		n, from, err := s.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if string(buf[:n]) == "all" {
			for _, other := range p.sockets[1:] {
				other.WriteToUDPAddrPort([]byte("heard"), from)
			}
		}
		s.WriteToUDPAddrPort([]byte(from.String()), from)
	}
}

// natureOf probes from a machine. What does not answer within patience never will.
func (p *prober) natureOf(from space, patience time.Duration) (n nature, err error) {
	a, err := newAsker(from, patience)
	if err != nil {
		return n, err
	}
	defer a.close()
	_, heard, err := a.ask("all", addrOf(p.sockets[0])) // first, since nothing was sent to the others
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nature{mute: true}, nil
	case err != nil:
		return n, err
	case heard[addrOf(p.sockets[2])]:
		n.opens = "all"
	case heard[addrOf(p.sockets[1])]:
		n.opens = "address"
	}
	var seen [3]string
	for i, s := range p.sockets {
		if seen[i], _, err = a.ask("me", addrOf(s)); err != nil {
			return n, err
		}
	}
	n.symmetric = seen[0] != seen[1] || seen[0] != seen[2]
	return n, nil
}

func addrOf(s *net.UDPConn) netip.AddrPort { return s.LocalAddr().(*net.UDPAddr).AddrPort() }

type asker struct {
	socket   *net.UDPConn
	patience time.Duration
}

func newAsker(from space, patience time.Duration) (a *asker, err error) {
	a = &asker{patience: patience}
	err = from.do(func() (err error) { a.socket, err = net.ListenUDP("udp", nil); return err })
	return a, err
}

func (a *asker) close() { a.socket.Close() }

// ask sends something, and returns what is answered from there, and who else was heard
// until then.
func (a *asker) ask(what string, to netip.AddrPort) (answer string, heard map[netip.AddrPort]bool, err error) {
	if _, err := a.socket.WriteToUDPAddrPort([]byte(what), to); err != nil {
		return "", nil, err
	}
	heard = make(map[netip.AddrPort]bool)
	a.socket.SetReadDeadline(time.Now().Add(a.patience))
	buf := make([]byte, 64)
	for {
		n, from, err := a.socket.ReadFromUDPAddrPort(buf)
		if err != nil {
			return "", nil, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from == to {
			return string(buf[:n]), heard, nil
		}
		heard[from] = true
	}
}
