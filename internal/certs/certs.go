// Package certs says which certificate a relay shows, and keeps it good while
// the relay runs.
//
// # Words
//
//   - pair: a certificate chain and the private key of its first certificate.
//   - source: where pairs come from: [Files], [Self], or an authority that is asked for
//     them (internal/acme).
//   - pin: "sha256-raw:" and the hash of a certificate. A DERP map that carries
//     the pin makes peers trust exactly this certificate and no authority.
//   - meta certificate: a certificate that proves nothing and tells peers the
//     relay's public key during the TLS handshake, which saves a round trip
//     (spec 1.5 and 1.6). It ends every chain.
//
// # Limits
//
// Both sources of this package have one pair for all names: whatever server name a
// peer asks for, and also when it asks for none.
package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"time"
)

// A Source hands out pairs and keeps them up to date. Who uses one need not know
// which it is.
type Source interface {
	// Certificate returns the pair for a peer that says hello; nil stands for
	// one that names nothing. The caller must not change the pair.
	Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)

	// Trust says how a peer on this machine verifies what Certificate returns:
	// by its pin, or, if that is empty, by roots. They are those of the system
	// and the certificate itself, whose authority peers may know and this machine
	// may not; names and dates are verified all the same.
	Trust() (pin string, roots *x509.CertPool)

	// Describe says what is shown now.
	Describe() Description

	// Prepare looks now for what Run would find later, and returns what has it used.
	// If it cannot be used, the error, which the caller reports, says why.
	Prepare(ctx context.Context) (use func(), err error)

	// Run renews or reloads until ctx is done.
	Run(ctx context.Context)
}

// A Description is what a source shows to peers that name nothing. Its JSON names
// are stable.
type Description struct {
	Source string    `json:"source"` // where it comes from, for people
	Names  []string  `json:"names"`  // DNS names and IP addresses that it is valid for
	From   time.Time `json:"from,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Pin    string    `json:"pin"`

	// What comes next, if that is known already.
	NextPin  string     `json:"next_pin,omitempty"`
	NextFrom *time.Time `json:"next_from,omitempty"`

	Missing  string     `json:"missing,omitempty"`  // why there is none yet, for some of the names at least; empty: there is
	Issuance *Issuance  `json:"issuance,omitempty"` // of what an authority issues for this process
	Failed   string     `json:"failed,omitempty"`   // why the last reload or renewal was in vain; empty: it was not
	FailedAt *time.Time `json:"failed_at,omitempty"`

	Leaf       *x509.Certificate `json:"-"`
	NextProtos []string          `json:"-"` // what handshakes may ask for besides HTTP, to be answered by Certificate alone
}

// Issuance tells of what an authority was asked for.
type Issuance struct {
	Issued uint64     `json:"issued"`         // certificates
	Failed uint64     `json:"failed"`         // tries that came to nothing
	Next   *time.Time `json:"next,omitempty"` // when the next one is due, or what failed is tried again
}

// ChallengeProto is what an authority asks for in a handshake by which it finds out
// whether a name leads here (RFC 8737). No peer does.
const ChallengeProto = "acme-tls/1"

// Describe tells of a pair.
func Describe(pair *tls.Certificate, source string) Description {
	leaf := pair.Leaf
	return Description{
		Source: source, Names: namesOf(leaf), From: leaf.NotBefore.UTC(), Until: leaf.NotAfter.UTC(), Pin: pinOf(pair), Leaf: leaf,
	}
}

// TLSConfig returns the configuration of a listener that shows the pairs of src
// and, last, the meta certificate; nil: there is none, for a server that is no relay.
func TLSConfig(src Source, meta *Meta) *tls.Config {
	extra := src.Describe().NextProtos
	c := &chain{source: src, meta: meta, bare: extra}
	return &tls.Config{
		GetCertificate: c.certificate,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     append([]string{"http/1.1"}, extra...), // an upgrade cannot happen over HTTP/2

		// Nothing relies on tickets, and a conn that issued none is smaller.
		SessionTicketsDisabled: true,

		// The relay writes whole bursts; small first records only cost headers.
		DynamicRecordSizingDisabled: true,
	}
}

// mostJoined bounds what a chain remembers. Sources have few pairs at a time.
const mostJoined = 16

// chain joins the source's pairs and the meta certificate, and remembers the
// results for as long as neither changes.
type chain struct {
	source Source
	meta   *Meta
	bare   []string // protocols whose handshakes get the pair as it is

	mu      sync.Mutex
	metaDER []byte                                // what joined was made with, guarded by mu
	joined  map[*tls.Certificate]*tls.Certificate // by pair, guarded by mu
}

func (c *chain) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	pair, err := c.source.Certificate(hello)
	if err != nil {
		return nil, err
	}
	bare := func(p string) bool { return slices.Contains(c.bare, p) }
	if c.meta == nil || slices.ContainsFunc(hello.SupportedProtos, bare) {
		return pair, nil
	}
	return c.whole(pair), nil
}

func (c *chain) whole(pair *tls.Certificate) *tls.Certificate {
	metaDER := c.meta.DER()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !bytes.Equal(metaDER, c.metaDER) || len(c.joined) >= mostJoined {
		c.metaDER, c.joined = metaDER, map[*tls.Certificate]*tls.Certificate{}
	}
	joined := c.joined[pair]
	if joined == nil {
		joined = new(tls.Certificate)
		*joined = *pair
		joined.Certificate = append(slices.Clone(pair.Certificate), metaDER)
		c.joined[pair] = joined
	}
	return joined
}
