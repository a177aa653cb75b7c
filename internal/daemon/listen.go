package daemon

import (
	"errors"
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
	if _, isUnix := cfg.ListenPath(); isUnix && err == nil {
		inherited = listener != nil
		if d.socket, err = front.OpenSocket(cfg, listener); err != nil {
			return nil, false, err
		}
		return d.socket.Listener, inherited, nil
	}
	if listener != nil || err != nil {
		return listener, true, err
	}
	listener, err = Listen(cfg.Listen)
	if err != nil {
		return nil, false, front.CannotListen("listen", err)
	}
	return listener, false, nil
}

// closeSocket removes the unix socket, unless another process has it now, or goes on
// with it.
func (d *Daemon) closeSocket(before front.Phase) error {
	if d.socket == nil || d.takenOver() || before == front.Opened && d.options.Takeover.TakesOver() {
		return nil
	}
	if err := d.socket.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil // the listener was closed before
}

// listening is where the relay listens, as the setting is written.
func (d *Daemon) listening() string {
	if d.socket != nil {
		return config.UnixPrefix + d.socket.Addr().String()
	}
	return d.edge.Addr().String()
}

// Listen binds an address as a relay does, to be given to one as Options.Listener.
func Listen(address string) (net.Listener, error) { return front.Listen(address) }
