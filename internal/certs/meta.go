package certs

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

const (
	// metaMargin is how far a meta certificate reaches into the past and into
	// the future when it is made (spec 1.6).
	metaMargin = 30 * 24 * time.Hour

	// metaRenew is the age at which it is made anew. Peers look at no dates, but
	// strict TLS stacks do (spec 18, trap 4).
	metaRenew = metaMargin / 2
)

// Meta is the meta certificate of one relay, made anew before it expires.
type Meta struct {
	server key.Public // set once

	mu   sync.Mutex
	der  []byte    // guarded by mu
	made time.Time // guarded by mu
}

// NewMeta makes the meta certificate that announces the relay's public key.
func NewMeta(server key.Public) (*Meta, error) {
	now := time.Now()
	der, err := makeMeta(server, now)
	if err != nil {
		return nil, fmt.Errorf("certs: making the meta certificate: %w", err)
	}
	return &Meta{server: server, der: der, made: now}, nil
}

// DER returns the meta certificate to show now. The caller must not change it.
func (m *Meta) DER() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.made) >= metaRenew {
		// A failure leaves the old one in use, which nearly every peer accepts.
		if der, err := makeMeta(m.server, now); err == nil {
			m.der, m.made = der, now
		}
	}
	return m.der
}

// makeMeta builds the certificate of spec 1.6. It has no key identifiers, which
// x509 adds to authorities only, and an empty BasicConstraints extension.
func makeMeta(server key.Public, now time.Time) ([]byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(derp.ProtocolVersion),
		Subject:               pkix.Name{CommonName: derp.MetaCertName(server)},
		NotBefore:             now.Add(-metaMargin),
		NotAfter:              now.Add(metaMargin),
		BasicConstraintsValid: true,
	}
	return x509.CreateCertificate(rand.Reader, template, template, public, private)
}
