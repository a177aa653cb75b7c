package health

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
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

	// connectTimeout is for name and TCP alone: shorter than the whole, so that
	// a firewall that swallows packets can be told from a relay that is stuck.
	connectTimeout = 4 * time.Second
)

// A RoundTrip is how a Path is checked over the network.
type RoundTrip struct {
	// Login returns the relay's URL, its key, and how to trust it. It is asked
	// for each check, because certificates are renewed.
	Login func() client.Config

	// Key makes the identity of a peer of the check, so that the relay can know it
	// again; nil: key.NewPrivate.
	Key func() key.Private

	Addr string // connected to instead of the URL's host and port; empty: those

	Socket string // path of a unix socket that is connected to instead; empty: none

	First string // sent before all else on each connection
}

// Check logs two peers in, with fresh identities, and has each send the other a
// packet. It leaves nothing behind. Until the first is admitted nothing has shown
// that this relay answers, and the error says so.
func (r RoundTrip) Check(ctx context.Context) error {
	a, err := r.login(ctx)
	if err != nil {
		return place(err)
	}
	defer a.conn.Close()
	b, err := r.login(ctx)
	if errors.Is(err, client.ErrServerKey) {
		return fmt.Errorf("%w: %w", ErrOtherRelay, err)
	}
	if err != nil {
		return fmt.Errorf("a second peer: %w", err)
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
	newKey := r.Key
	if newKey == nil {
		newKey = key.NewPrivate
	}
	config, secret := r.Login(), newKey()
	config.Key, config.Prober, config.AppName = secret, true, appName
	config.WebSocket = client.WebSocketNever // what peers fall back to must not hide what they meet first
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	config.DialContext = r.connect
	conn, _, err := client.Login(ctx, config)
	if err == nil {
		return visitor{conn, secret.Public()}, nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err) // the end of a dial does not say whose time was over
	}
	return visitor{}, err
}

func (r RoundTrip) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	if r.Addr != "" {
		addr = r.Addr
	}
	if r.Socket != "" {
		network, addr = "unix", r.Socket
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOutOfReach, err)
	}
	if _, err := io.WriteString(conn, r.First); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// place says of a failed login what it proves. The relay proves itself by its key,
// which only it can have; whatever else answers may be somebody else: a router
// under the public address that it would not lead back in, another web server on
// the port, a firewall that swallows what it is sent.
func place(err error) error {
	switch {
	case errors.Is(err, client.ErrServerKey):
		return fmt.Errorf("%w: %w", ErrOtherRelay, err)
	case errors.Is(err, client.ErrAdmissionRefused), errors.Is(err, ErrOutOfReach):
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnproven, err)
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
