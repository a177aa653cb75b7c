package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/socket"
	"github.com/detour-relay/detour/key"
)

// connectTimeout is for name lookup, TCP, proxy, TLS, HTTP and sending the login,
// if the context has no deadline.
const connectTimeout = 10 * time.Second

// Dial connects to a relay and sends the login. Whether the relay admits us shows
// in the first Recv. Dial takes at most until the context's deadline, and 10 s if
// there is none; the context has no influence on the connection afterwards.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	t, err := newLogin(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to relay: %w", err)
	}
	ctx, cancel := withConnectTimeout(ctx)
	defer cancel()
	if err := t.FindProxy(); err != nil {
		return nil, fmt.Errorf("connect to relay: %w", err)
	}
	c, err := t.dialAs(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to relay %s: %w", t.Location.Redacted(), err)
	}
	return c, nil
}

func withConnectTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, connectTimeout, errConnectTimeout)
}

type connectTimeoutError struct{}

func (connectTimeoutError) Error() string        { return fmt.Sprintf("took longer than %v", connectTimeout) }
func (connectTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

var errConnectTimeout error = connectTimeoutError{}

// dialAs dials as WebSocket says.
func (t *target) dialAs(ctx context.Context) (*Conn, error) {
	if t.WebSocket == WebSocketFallback {
		return t.dialEither(ctx)
	}
	return t.dial(ctx, t.WebSocket == WebSocketAlways, reach.NewSteps())
}

// dialEither falls back to a WebSocket.
func (t *target) dialEither(ctx context.Context) (*Conn, error) {
	return reach.Fallback[*Conn]{
		Upgrade:   func(ctx context.Context, done *reach.Steps) (*Conn, error) { return t.dial(ctx, false, done) },
		WebSocket: func(ctx context.Context) (*Conn, error) { return t.dial(ctx, true, reach.NewSteps()) },
		Discard:   func(c *Conn) { c.abort(ErrClosed) },
	}.Dial(ctx)
}

// dial makes one attempt.
func (t *target) dial(ctx context.Context, webSocket bool, done *reach.Steps) (*Conn, error) {
	raw, err := t.DialTCP(ctx)
	if err != nil {
		return nil, err
	}
	c, err := t.login(ctx, raw, webSocket, done)
	if err != nil {
		raw.Close()
		return nil, err
	}
	raw.SetDeadline(time.Time{}) // fails only on a closed socket, as the next read will
	c.sock.WatchSilence()
	return c, nil
}

// secure goes up from the socket to where HTTP begins.
func (t *target) secure(ctx context.Context, raw net.Conn) (*Conn, error) {
	through, early, err := t.ThroughProxy(ctx, raw)
	if err != nil {
		return nil, err
	}
	sock := socket.New(through, bytes.Clone(early))
	c := &Conn{sock: sock, stream: sock, recordPerPacket: t.RecordPerPacket, done: make(chan struct{})}
	c.in.Src = sock
	if !t.TLS {
		return c, nil
	}
	c.tls = tls.Client(socket.ReadAhead(sock), t.TLSConfig())
	c.stream, c.in.Src = c.tls, c.tls
	if err := reach.During(ctx, raw, func() error { return c.tls.HandshakeContext(ctx) }); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}

// login goes on to the frames and sends ours.
func (t *target) login(ctx context.Context, raw net.Conn, webSocket bool, done *reach.Steps) (*Conn, error) {
	c, err := t.secure(ctx, raw)
	if err != nil {
		return nil, err
	}
	return c, reach.During(ctx, raw, func() error {
		if webSocket {
			return t.loginWebSocket(ctx, c)
		}
		if c.tls != nil {
			if relay, ok := reach.FastStartKey(c.tls.ConnectionState()); ok {
				return t.loginFast(c, relay)
			}
		}
		return t.loginClassic(c, done)
	})
}

// loginFast sends request and login together. The relay does not answer the
// request.
func (t *target) loginFast(c *Conn, relay key.Public) error {
	hello, err := t.hello(c, relay)
	if err != nil {
		return err
	}
	_, err = c.stream.Write(append(t.UpgradeRequest(true, t.IdealNode), hello...))
	return err
}

// loginClassic sends the request, waits for the relay to take the connection over
// and to greet us, and sends the login.
func (t *target) loginClassic(c *Conn, done *reach.Steps) error {
	done.Asked()
	header, behind, err := t.Upgrade(c.stream.(net.Conn), t.IdealNode)
	if refusal, ok := errors.AsType[*StatusError](err); ok && refusal.OwnWord() {
		return err
	}
	if err != nil {
		return &reach.NotUpgraded{Err: err}
	}
	done.Answered()
	c.in.Preload(behind)
	relay, err := c.greeting()
	switch {
	case err != nil && !reach.ForDERP(header):
		return &reach.NotUpgraded{Err: reach.NotForDERP(header, err)}
	case err != nil:
		return err
	}
	done.Greeted()
	return t.loginGreeted(c, relay)
}

// loginWebSocket makes c a WebSocket, waits for the relay's greeting, and sends the
// login.
func (t *target) loginWebSocket(ctx context.Context, c *Conn) error {
	stream, ws, err := t.DialWebSocket(ctx, c.stream.(net.Conn))
	if err != nil {
		return err
	}
	c.ws, c.stream, c.in.Src = ws, stream, stream
	relay, err := c.greeting()
	if err != nil {
		return err
	}
	return t.loginGreeted(c, relay)
}

// greeting reads the relay's greeting.
func (c *Conn) greeting() (key.Public, error) {
	relay, err := derp.ReadGreeting(&c.in)
	switch {
	case err == nil:
		return relay, nil
	case errors.Is(err, derp.ErrMagic), errors.Is(err, derp.ErrLength), errors.Is(err, derp.ErrZeroKey):
		return relay, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return relay, fmt.Errorf("wait for the greeting: %w", err)
}

// loginGreeted sends the login to a relay that has said its key.
func (t *target) loginGreeted(c *Conn, relay key.Public) error {
	hello, err := t.hello(c, relay)
	if err != nil {
		return err
	}
	_, err = c.stream.Write(hello)
	return err
}

// hello returns the frames that we begin with.
func (t *target) hello(c *Conn, relay key.Public) ([]byte, error) {
	if !t.ServerKey.IsZero() && relay != t.ServerKey {
		return nil, fmt.Errorf("%w: %v, want %v", ErrServerKey, relay, t.ServerKey)
	}
	c.serverKey, c.box = relay, t.Key.Box(relay)
	b := derp.AppendClientInfo(nil, t.Key.Public(), &c.box, derp.ClientInfo{
		MeshKey:     t.MeshKey,
		Version:     derp.ProtocolVersion,
		CanAckPings: true,
		IsProber:    t.Prober,
		AppName:     t.AppName,
	})
	if t.Preferred {
		b = derp.AppendNotePreferred(b, true)
	}
	return b, nil
}
