package reach

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/key"
)

// TLSConfig returns how to speak TLS with the relay, and whom to trust. It keeps
// nothing else of the Target.
func (t *Target) TLSConfig() *tls.Config {
	trust := &trust{
		roots: t.RootCAs, host: t.Host, name: cmp.Or(t.CertName, t.Host), pin: t.Pin, insecure: t.InsecureSkipVerify,
	}
	return &tls.Config{
		ServerName: t.serverName(),
		MinVersion: tls.VersionTLS12,
		// Batches are large, and a quiet connection does not need its records small.
		DynamicRecordSizingDisabled: true,
		// crypto/tls would verify the ServerName only; VerifyConnection verifies all
		// there is to it, and always runs.
		InsecureSkipVerify: true,
		VerifyConnection:   trust.verify,
		ClientSessionCache: t.Sessions, // what is resumed is verified as well
	}
}

// serverName returns the name that goes out: the host; or if that is an address, for
// which none goes out, the name that is verified instead.
func (t *Target) serverName() string {
	if isAddr(t.Host) && t.CertName != "" && t.Pin.IsZero() {
		return t.CertName
	}
	return t.Host
}

// trust says which certificates of a relay are good.
type trust struct {
	roots    *x509.CertPool // nil: those of the system
	host     string         // connected to; a name or an IP address
	name     string         // verified; the host, unless the map says otherwise
	pin      pin.Pin        // of the certificate; zero: not pinned
	insecure bool
}

// verify decides about the certificates of a relay.
func (t *trust) verify(state tls.ConnectionState) error {
	switch {
	case t.insecure:
		return nil
	case !t.pin.IsZero():
		return t.verifyPin(state.PeerCertificates)
	}
	return t.verifyChain(state.PeerCertificates)
}

// verifyChain verifies the chain, and that the first certificate is for the name,
// which may be an IP address.
func (t *trust) verifyChain(certs []*x509.Certificate) error {
	intermediates := x509.NewCertPool()
	for _, cert := range certs[1:] {
		intermediates.AddCert(cert)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{DNSName: t.name, Roots: t.roots, Intermediates: intermediates})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return nil
}

// verifyPin wants the pinned certificate, whoever signed it.
func (t *trust) verifyPin(certs []*x509.Certificate) error {
	err := t.pin.Verify(certs, t.host, time.Now())
	if err == nil || errors.Is(err, ErrPinMismatch) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCertificate, err)
}

// FastStartKey returns the key in the relay's meta certificate, if there is one that
// allows a fast start: over TLS 1.3, with a protocol version.
func FastStartKey(state tls.ConnectionState) (relay key.Public, ok bool) {
	if state.Version < tls.VersionTLS13 {
		return relay, false
	}
	for _, cert := range state.PeerCertificates {
		if relay, ok := derp.ParseMetaCertName(cert.Subject.CommonName); ok && cert.SerialNumber.BitLen() <= 8 {
			return relay, cert.SerialNumber.Sign() > 0
		}
	}
	return relay, false
}
