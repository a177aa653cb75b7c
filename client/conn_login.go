package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/detour-relay/detour/derp"
)

// Login is Dial for those who want to know that the relay has admitted them: it
// waits for ServerInfo, which Recv then does not return any more. It takes at most
// until the context's deadline, and 10 s if there is none; the context has no
// influence on the connection afterwards. What the relay said before ServerInfo, if
// anything, is lost, except a packet, which it may not send. A relay that says that it
// is shutting down is tried once more.
func Login(ctx context.Context, cfg Config) (*Conn, derp.ServerInfo, error) {
	ctx, cancel := withConnectTimeout(ctx)
	defer cancel()
	c, info, err := login(ctx, cfg)
	if refusal, ok := errors.AsType[*StatusError](err); ok && refusal.Stopping() {
		return login(ctx, cfg) // where it stood another may stand by now
	}
	return c, info, err
}

func login(ctx context.Context, cfg Config) (*Conn, derp.ServerInfo, error) {
	c, err := Dial(ctx, cfg)
	if err != nil {
		return nil, derp.ServerInfo{}, err
	}
	stop := context.AfterFunc(ctx, func() { c.abort(ErrClosed) })
	info, err := c.awaitAdmission()
	if !stop() {
		err = fmt.Errorf("relay %s has not admitted us: %w", c.RemoteAddr(), context.Cause(ctx))
	}
	if err != nil {
		c.Close()
		return nil, derp.ServerInfo{}, err
	}
	return c, info, nil
}

// awaitAdmission receives up to ServerInfo.
func (c *Conn) awaitAdmission() (derp.ServerInfo, error) {
	for {
		msg, err := c.Recv(nil)
		switch {
		case errors.Is(err, ErrBufferSize), err == nil && msg.Kind == MessagePacket:
			return msg.ServerInfo, c.fail(fmt.Errorf("%w: a packet before it has admitted us", ErrProtocol))
		case err != nil || msg.Kind == MessageServerInfo:
			return msg.ServerInfo, err
		}
	}
}
