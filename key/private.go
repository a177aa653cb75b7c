package key

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/crypto/curve25519"
)

const privatePrefix = "privkey:"

const redactedPrivate = privatePrefix + "(secret)"

// Private is a Curve25519 private key. It does not print; Text gives it away. The zero value is no key.
type Private struct{ raw [Len]byte }

// NewPrivate makes a fresh private key from the system's randomness.
func NewPrivate() Private {
	var k Private
	rand.Read(k.raw[:]) // never fails: crypto/rand ends the program instead
	k.raw[0] &= 0xf8
	k.raw[Len-1] = k.raw[Len-1]&0x7f | 0x40
	return k
}

// ParsePrivate reads "privkey:" followed by 64 hex digits, and takes the digits as they are (use clamps them). All zeros
// are an error.
func ParsePrivate(text string) (Private, error) {
	raw, err := parsePrefixed(privatePrefix, text)
	if err == nil && raw == [Len]byte{} {
		err = errZero
	}
	if err != nil {
		return Private{}, fmt.Errorf("private key: %w", err)
	}
	return Private{raw}, nil
}

// Public returns the public key that belongs to k, and no key for no key.
func (k Private) Public() Public {
	if k.IsZero() {
		return Public{}
	}
	var p Public
	curve25519.ScalarBaseMult((*[Len]byte)(&p), &k.raw)
	return p
}

// IsZero reports whether k is the zero value, which is no key.
func (k Private) IsZero() bool { return k.Equal(Private{}) }

// Equal compares in constant time.
func (k Private) Equal(other Private) bool {
	return subtle.ConstantTimeCompare(k.raw[:], other.raw[:]) == 1
}

// Text returns the secret: "privkey:" and 64 lowercase hex digits.
func (k Private) Text() string { return privatePrefix + hex.EncodeToString(k.raw[:]) }

// String returns the redacted form.
func (k Private) String() string { return redactedPrivate }

// GoString returns the redacted form.
func (k Private) GoString() string { return redactedPrivate }

// Format prints the redacted form, whatever the verb.
func (k Private) Format(f fmt.State, verb rune) { io.WriteString(f, redactedPrivate) }

// LogValue returns the redacted form.
func (k Private) LogValue() slog.Value { return slog.StringValue(redactedPrivate) }
