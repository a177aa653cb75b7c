package mesh

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// errPin: the sibling's certificate is not the pinned one.
var errPin = errors.New("the certificate is not the pinned one")

// metaPrefix begins the names of meta certificates (spec 1.6).
const metaPrefix = "derpkey"

// tlsConfig verifies the certificate for the target's host, by the pin if there
// is one.
func (d dialer) tlsConfig(to target) *tls.Config {
	config := &tls.Config{
		ServerName: to.verifyName(), // goes out if it is a name, not if it is an address
		RootCAs:    d.roots,
		MinVersion: tls.VersionTLS12,
		// Bursts are large, and a quiet link does not need its records small.
		DynamicRecordSizingDisabled: true,
	}
	if to.Pin != "" {
		// crypto/tls would build a chain; VerifyConnection always runs.
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(state tls.ConnectionState) error {
			return verifyPin(state.PeerCertificates, to, time.Now())
		}
	}
	return config
}

// verifyPin wants the pinned certificate and, meta certificates aside, no other
// (spec 7.4). It has to be the first, whose owner shook hands with us: anybody
// can send along the certificates of others.
func verifyPin(certs []*x509.Certificate, to target, now time.Time) error {
	leaf := certs[0]
	for _, cert := range certs[1:] {
		if !strings.HasPrefix(cert.Subject.CommonName, metaPrefix) {
			return fmt.Errorf("%w: the sibling sent a chain, a pinned certificate has to be alone", errPin)
		}
	}
	sum := sha256.Sum256(leaf.Raw)
	if got := hex.EncodeToString(sum[:]); got != to.Pin {
		return fmt.Errorf("%w: it is %s%s, want %s%s", errPin, pinPrefix, got, pinPrefix, to.Pin)
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return fmt.Errorf("the pinned certificate is valid from %v to %v", leaf.NotBefore.UTC(), leaf.NotAfter.UTC())
	}
	name := to.verifyName()
	if _, err := netip.ParseAddr(name); err == nil {
		return nil // no name was sent
	}
	return leaf.VerifyHostname(name)
}
