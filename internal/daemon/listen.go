package daemon

import (
	"context"
	"net"
	"net/netip"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/reach/errno"
)

// socketName is the name of a socket for the next process, which takes it only if it
// is to listen at the same address.
func socketName(setting, address string) string { return setting + "=" + address }

// openListener binds the address of the relay, or takes it over. The relay's edge
// sets the options of its connections.
func (d *Daemon) openListener(cfg config.Config) (listener net.Listener, inherited bool, err error) {
	if d.options.Listener != nil {
		return d.options.Listener, true, nil
	}
	listener, err = d.options.Takeover.Listener(socketName("listen", cfg.Listen))
	if listener != nil || err != nil {
		return listener, true, err
	}
	listener, err = Listen(cfg.Listen)
	if err != nil {
		return nil, false, cannotListen("listen", err)
	}
	return listener, false, nil
}

// Listen binds an address as a relay does, to be given to one as Options.Listener.
func Listen(address string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false) // it does not combine with the user timeout (spec 1.1)
	return lc.Listen(context.Background(), "tcp", address)
}

// cannotListen is an error about the setting of an address.
func cannotListen(setting string, err error) error {
	return failed(setting, err, errno.BindRemedy(err, "stop what listens there, or choose another address with {"+setting+"}"))
}

// boundAddr returns the address of a TCP listener.
func boundAddr(addr net.Addr) netip.AddrPort {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		bound := tcp.AddrPort()
		return netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	}
	return netip.AddrPort{}
}

// dialable returns where a listener is reached from its own machine.
func dialable(bound netip.AddrPort) netip.AddrPort {
	if bound.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), bound.Port())
	}
	return bound
}
