// Package certs says which certificate a relay shows, and keeps it good while
// the relay runs.
//
// # Words
//
//   - pair: a certificate chain and the private key of its first certificate.
//   - source: where the pair comes from, [Files] or [Self].
//   - pin: "sha256-raw:" and the hash of a certificate. A DERP map that carries
//     the pin makes peers trust exactly this certificate and no authority.
//   - meta certificate: a certificate that proves nothing and tells peers the
//     relay's public key during the TLS handshake, which saves a round trip
//     (spec 1.5 and 1.6). It ends every chain.
//
// # Limits
//
// One pair serves every name: whatever server name a peer asks for, and also
// when it asks for none. Certificates from an authority over the network are
// not made here.
package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"slices"
	"sync"
)

// A Source hands out a pair and keeps it up to date.
type Source interface {
	// Current returns the pair to show now. The caller must not change it.
	Current() *tls.Certificate

	// Watch renews or reloads the pair until ctx is done.
	Watch(ctx context.Context)
}

// TLSConfig returns the configuration of a listener that shows the pair of src
// and, last, the meta certificate.
func TLSConfig(src Source, meta *Meta) *tls.Config {
	c := &chain{source: src, meta: meta}
	return &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.whole(), nil },
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"}, // an upgrade cannot happen over HTTP/2

		// Nothing relies on tickets, and a conn that issued none is smaller.
		SessionTicketsDisabled: true,

		// The relay writes whole bursts; small first records only cost headers.
		DynamicRecordSizingDisabled: true,
	}
}

// chain joins the source's pair and the meta certificate, and remembers the
// result for as long as neither changes.
type chain struct {
	source Source
	meta   *Meta

	mu      sync.Mutex
	pair    *tls.Certificate // what joined was made from, guarded by mu
	metaDER []byte           // likewise
	joined  *tls.Certificate
}

func (c *chain) whole() *tls.Certificate {
	pair, metaDER := c.source.Current(), c.meta.DER()
	c.mu.Lock()
	defer c.mu.Unlock()
	if pair != c.pair || !bytes.Equal(metaDER, c.metaDER) {
		joined := *pair
		joined.Certificate = append(slices.Clone(pair.Certificate), metaDER)
		c.pair, c.metaDER, c.joined = pair, metaDER, &joined
	}
	return c.joined
}
