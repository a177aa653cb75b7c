// Package pin is about certificates that are pinned: a DERP map, a list of
// siblings or a command names the one certificate of a relay by its SHA-256, and
// no authority is asked (spec 7.4).
package pin

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/detour-relay/detour/derp"
)

// Prefix begins the text of a pin; 64 lowercase hex digits follow.
const Prefix = "sha256-raw:"

var (
	// ErrMismatch: what was sent is not the pinned certificate, or not alone.
	ErrMismatch = errors.New("the certificate is not the pinned one")
	// ErrNotAlone is the ErrMismatch of a chain, where another pin would not help.
	ErrNotAlone = fmt.Errorf("%w", ErrMismatch)
)

// A Pin names one certificate, or none if it is zero. Pins can be compared.
type Pin struct {
	sum   [sha256.Size]byte
	given bool
}

// Is reports whether the text means a pin, if perhaps not a good one, rather than
// a name.
func Is(text string) bool { return strings.HasPrefix(text, Prefix) }

// Parse parses a pin as String writes it. Others compare pins as text, so nothing
// else is taken, such as upper case.
func Parse(text string) (Pin, error) {
	digits, found := strings.CutPrefix(text, Prefix)
	p := Pin{given: true}
	if !found || len(digits) != hex.EncodedLen(len(p.sum)) || strings.Trim(digits, "0123456789abcdef") != "" {
		return Pin{}, fmt.Errorf("pin %q: want %s and the certificate's SHA-256 as 64 lowercase hex digits", text, Prefix)
	}
	hex.Decode(p.sum[:], []byte(digits)) // cannot fail
	return p, nil
}

// Of returns the pin of a certificate.
func Of(cert *x509.Certificate) Pin { return OfRaw(cert.Raw) }

// OfRaw returns the pin of a certificate in DER.
func OfRaw(der []byte) Pin { return Pin{sum: sha256.Sum256(der), given: true} }

// Sum returns the SHA-256 of the certificate.
func (p Pin) Sum() [sha256.Size]byte { return p.sum }

// IsZero reports whether no certificate is pinned.
func (p Pin) IsZero() bool { return !p.given }

// String returns the pin as DERP maps have it, empty if it is zero.
func (p Pin) String() string {
	if !p.given {
		return ""
	}
	return Prefix + hex.EncodeToString(p.sum[:])
}

// Verify accepts the pinned certificate if it comes first, since only the owner
// of the first shook hands with us and anybody can send along the certificates of
// others; alone, meta certificates aside; at its time; and for the host, unless
// that is an IP address or empty, as then no name was sent. There must be at
// least one certificate. The error is ErrMismatch if it is another certificate,
// and otherwise about the pinned one.
func (p Pin) Verify(chain []*x509.Certificate, host string, now time.Time) error {
	leaf, others := chain[0], 0
	for _, cert := range chain[1:] {
		if !derp.IsMetaCertName(cert.Subject.CommonName) {
			others++
		}
	}
	if others > 0 {
		return fmt.Errorf("%w: %d more were sent with it, a pinned certificate has to be alone", ErrNotAlone, others)
	}
	if got := Of(leaf); got != p {
		return fmt.Errorf("%w: it is %v, want %v", ErrMismatch, got, p)
	}
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired, Detail: fmt.Sprintf(
			"it is valid from %v to %v, and the clock here says %v", leaf.NotBefore.UTC(), leaf.NotAfter.UTC(), now.UTC())}
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return nil
	}
	return leaf.VerifyHostname(host)
}

// OfSum returns the pin of that SHA-256.
func OfSum(sum [sha256.Size]byte) Pin { return Pin{sum: sum, given: sum != [sha256.Size]byte{}} }
