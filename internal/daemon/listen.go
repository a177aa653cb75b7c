package daemon

import (
	"net"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
)

// openListener binds the address of the relay, or takes it over. The relay's edge
// sets the options of its connections.
func (d *Daemon) openListener(cfg config.Config) (listener net.Listener, inherited bool, err error) {
	if d.options.Listener != nil {
		return d.options.Listener, true, nil
	}
	listener, err = d.options.Takeover.Listener(front.SocketName("listen", cfg.Listen))
	if listener != nil || err != nil {
		return listener, true, err
	}
	listener, err = Listen(cfg.Listen)
	if err != nil {
		return nil, false, front.CannotListen("listen", err)
	}
	return listener, false, nil
}

// Listen binds an address as a relay does, to be given to one as Options.Listener.
func Listen(address string) (net.Listener, error) { return front.Listen(address) }
