package reach

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
)

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
