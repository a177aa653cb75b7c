package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// connectBudget is for name lookup, TCP, proxy, TLS, HTTP and sending the login, if the context has no deadline.
const connectBudget = 10 * time.Second

// Dial connects to a relay and sends the login. Whether the relay admits us shows in the first Recv. Dial takes at most
// until the context's deadline, and 10 s if there is none; the context has no influence on the connection afterwards.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	t, err := newLogin(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to relay: %w", err)
	}
	ctx, cancel := withConnectBudget(ctx)
	defer cancel()
	if err := t.findProxy(); err != nil {
		return nil, fmt.Errorf("connect to relay: %w", err)
	}
	c, err := t.dial(ctx, t.WebSocket == WebSocketAlways)
	if err != nil && t.WebSocket == WebSocketFallback && upgradeLost(err) {
		upgradeErr := err
		if c, err = t.dial(ctx, true); err != nil {
			err = fmt.Errorf("%w; WebSocket: %w", upgradeErr, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to relay %s: %w", t.url.Redacted(), err)
	}
	return c, nil
}

func withConnectBudget(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, connectBudget, errBudget)
}

type budgetError struct{}

func (budgetError) Error() string        { return fmt.Sprintf("took longer than %v", connectBudget) }
func (budgetError) Is(target error) bool { return target == context.DeadlineExceeded }

var errBudget error = budgetError{}

// errNoAnswer: the connection ended after the HTTP request.
var errNoAnswer = errors.New("closed without an answer to the HTTP request")

// upgradeLost reports whether a middlebox may have kept the request to upgrade from the relay; see WebSocketFallback.
func upgradeLost(err error) bool {
	if errors.Is(err, errNoAnswer) {
		return true
	}
	var status *StatusError
	if !errors.As(err, &status) || status.Proxy {
		return false
	}
	switch status.Code {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusUpgradeRequired, http.StatusNotImplemented, http.StatusBadGateway:
		return true
	}
	return false
}

// dial makes one attempt. When the context ends, what is under way fails because the socket's deadline is over.
func (t *target) dial(ctx context.Context, webSocket bool) (*Conn, error) {
	raw, err := t.dialTCP(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })
	c, err := t.login(ctx, raw, webSocket)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	raw.SetDeadline(time.Time{}) // fails only on a closed socket, as the next read will
	c.sock.watching, c.sock.restart = true, true
	return c, nil
}

// secure goes up from the socket to where HTTP begins.
func (t *target) secure(ctx context.Context, raw net.Conn) (*Conn, error) {
	sock, err := t.throughProxy(ctx, raw)
	if err != nil {
		return nil, err
	}
	c := &Conn{sock: sock, stream: sock, recordPerPacket: t.RecordPerPacket, done: make(chan struct{})}
	c.in.src = sock
	if t.useTLS {
		err = t.startTLS(ctx, c)
	}
	return c, err
}

// login goes on to the frames and sends ours.
func (t *target) login(ctx context.Context, raw net.Conn, webSocket bool) (*Conn, error) {
	c, err := t.secure(ctx, raw)
	if err != nil {
		return nil, err
	}
	if webSocket {
		return c, t.loginWebSocket(ctx, c)
	}
	if relay, ok := keyFromCertificates(c.tls); ok {
		return c, t.loginFast(c, relay)
	}
	return c, t.loginClassic(c)
}

// loginFast sends request and login together. The relay does not answer the request.
func (t *target) loginFast(c *Conn, relay key.Public) error {
	hello, err := t.hello(c, relay)
	if err != nil {
		return err
	}
	_, err = c.stream.Write(append(t.upgradeRequest(true), hello...))
	return err
}

// loginClassic sends the request, waits for the relay to take the connection over and to greet us, and sends the login.
func (t *target) loginClassic(c *Conn) error {
	if _, err := c.stream.Write(t.upgradeRequest(false)); err != nil {
		return err
	}
	if err := readAnswer(&c.in, c.sock, http.StatusSwitchingProtocols); err != nil {
		if isGone(err) {
			err = fmt.Errorf("%w: %w", errNoAnswer, err)
		}
		return err
	}
	return t.loginGreeted(c)
}

// loginGreeted reads the relay's greeting and sends the login.
func (t *target) loginGreeted(c *Conn) error {
	relay, err := readGreeting(&c.in)
	if err != nil {
		return err
	}
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

// readGreeting reads the ServerKey frame.
func readGreeting(in *inbuf) (relay key.Public, err error) {
	if err := in.need(derp.HeaderLen); err != nil {
		return relay, fmt.Errorf("wait for the greeting: %w", noEOF(err))
	}
	frame, n := derp.ParseHeader(in.buffered())
	if frame != derp.FrameServerKey || n > derp.MaxGreeting {
		return relay, fmt.Errorf("%w: %v of %d bytes instead of a greeting", ErrProtocol, frame, n)
	}
	if err := in.need(derp.HeaderLen + n); err != nil {
		return relay, fmt.Errorf("wait for the greeting: %w", noEOF(err))
	}
	relay, err = derp.ParseServerKey(in.buffered()[derp.HeaderLen : derp.HeaderLen+n])
	if err != nil {
		return relay, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	in.discard(derp.HeaderLen + n)
	return relay, nil
}
