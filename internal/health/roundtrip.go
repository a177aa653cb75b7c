package health

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

const (
	// appName tells the check's peers from others in the relay's lists.
	appName = "detour self-check"

	// connectPatience is for name and TCP alone: shorter than the whole, so that
	// a firewall that swallows packets can be told from a relay that is stuck.
	connectPatience = 4 * time.Second
)

// A RoundTrip is how a Door is checked over the network.
type RoundTrip struct {
	// Login returns the relay's URL, its key, and how to trust it. It is asked
	// for each check, because certificates are renewed.
	Login func() client.Config

	Addr string // connected to instead of the URL's host and port; empty: those

	// Certificate returns the certificate that the relay shows; nil: it has no TLS.
	Certificate func() *x509.Certificate
}

// Check logs two peers in, with fresh identities, and has each send the other a
// packet. It leaves nothing behind.
func (r RoundTrip) Check(ctx context.Context) error {
	a, err := r.login(ctx)
	if err != nil {
		return err
	}
	defer a.conn.Close()
	b, err := r.login(ctx)
	if err != nil {
		return err
	}
	defer b.conn.Close()
	if err := a.reach(ctx, b); err != nil {
		return err
	}
	return b.reach(ctx, a)
}

// A visitor is a peer of the check.
type visitor struct {
	conn   *client.Conn
	public key.Public
}

// login returns a peer that the relay has admitted, so that packets find it.
func (r RoundTrip) login(ctx context.Context) (visitor, error) {
	config, secret := r.Login(), key.NewPrivate()
	config.Key, config.Prober, config.AppName = secret, true, appName
	config.WebSocket = client.WebSocketNever // what peers fall back to must not hide what they meet first
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	config.DialContext = r.connect
	conn, err := client.Dial(ctx, config)
	if err != nil {
		return visitor{}, r.place(err)
	}
	v := visitor{conn, secret.Public()}
	if _, err := v.recv(ctx, nil); err != nil {
		conn.Close()
		return visitor{}, r.place(err)
	}
	return v, nil
}

func (r RoundTrip) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	if r.Addr != "" {
		addr = r.Addr
	}
	dialer := net.Dialer{Timeout: connectPatience}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutOfReach, err)
	}
	return conn, nil
}

// place marks the errors of those who did not meet this relay at all: a router
// that answers under the public address it would not lead back in, for example.
func (r RoundTrip) place(err error) error {
	switch {
	case errors.Is(err, client.ErrServerKey):
		return fmt.Errorf("%w: %w", ErrOtherRelay, err)
	case r.Certificate != nil && answeredByStranger(err, r.Certificate()):
		return fmt.Errorf("%w: something else answers there: %w", ErrOutOfReach, err)
	}
	return err
}

// answeredByStranger reports whether a handshake failed because the other side
// showed another certificate than the relay's own, or does not speak TLS.
func answeredByStranger(err error, own *x509.Certificate) bool {
	if _, noTLS := errors.AsType[tls.RecordHeaderError](err); noTLS || errors.Is(err, client.ErrPinMismatch) {
		return true
	}
	shown := own
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		shown = e.Certificate
	} else if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		shown = e.Cert
	} else if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		shown = e.Cert
	}
	return !shown.Equal(own)
}

// reach sends a packet and waits until it has come.
func (v visitor) reach(ctx context.Context, to visitor) error {
	packet := make([]byte, 32)
	rand.Read(packet) // never fails
	if err := v.conn.Send(to.public, packet); err != nil {
		return fmt.Errorf("sending a packet: %w", err)
	}
	buf := make([]byte, 1024)
	for {
		m, err := to.recv(ctx, buf)
		if err != nil {
			return fmt.Errorf("a packet did not arrive: %w", err)
		}
		if m.Kind == client.MessagePacket && m.Peer == v.public && string(m.Packet) == string(packet) {
			return nil
		}
	}
}

// recv is that of the connection, until ctx is done.
func (v visitor) recv(ctx context.Context, buf []byte) (client.Message, error) {
	stop := context.AfterFunc(ctx, func() { v.conn.Close() })
	m, err := v.conn.Recv(buf)
	if !stop() {
		err = context.Cause(ctx)
	}
	return m, err
}
