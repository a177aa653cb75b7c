package reach

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
)

// Open goes all the way up to where HTTP begins, by the proxy that there is now.
func (t *Target) Open(ctx context.Context) (net.Conn, error) {
	now := *t // others may use t, too
	if err := now.FindProxy(); err != nil {
		return nil, err
	}
	raw, err := now.DialTCP(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := now.Secure(ctx, raw)
	if err != nil {
		raw.Close()
		return nil, err
	}
	return conn, nil
}

// Secure goes up from raw, which DialTCP returned, to where HTTP begins: through the
// proxy, and through TLS. If it fails, raw is to be closed.
func (t *Target) Secure(ctx context.Context, raw net.Conn) (net.Conn, error) {
	through, early, err := t.ThroughProxy(ctx, raw)
	if err != nil {
		return nil, err
	}
	if len(early) > 0 {
		through = &preread{through, io.MultiReader(bytes.NewReader(early), through)}
	}
	if !t.TLS {
		return through, nil
	}
	over := tls.Client(through, t.TLSConfig())
	if err := During(ctx, raw, func() error { return over.HandshakeContext(ctx) }); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return over, nil
}

// preread is a connection of which something was read already.
type preread struct {
	net.Conn
	in io.Reader
}

func (p *preread) Read(b []byte) (int, error) { return p.in.Read(b) }
