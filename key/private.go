package key

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

const privatePrefix = "privkey:"

const redactedPrivate = privatePrefix + "(secret)"

// Private is a Curve25519 private key. It does not print; Text gives it away. The zero value is no key.
// Equal compares two of them, == does not.
type Private struct {
	raw  [Len]byte
	made *ecdh.PrivateKey // the same key, with its public one: that costs a multiplication, for each box else; nil: no key
}

func newPrivate(raw [Len]byte) (Private, error) {
	made, err := ecdh.X25519().NewPrivateKey(raw[:])
	if err != nil {
		return Private{}, err
	}
	return Private{raw, made}, nil
}

// NewPrivate makes a fresh private key from the system's randomness.
func NewPrivate() Private {
	var raw [Len]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the program instead
	raw[0] &= 0xf8
	raw[Len-1] = raw[Len-1]&0x7f | 0x40
	k, err := newPrivate(raw)
	if err != nil {
		panic("key: " + err.Error()) // GODEBUG=fips140=only allows no such key, and there is no relay without
	}
	return k
}

// ParsePrivate reads "privkey:" followed by 64 hex digits, and takes the digits as they are (use clamps them). All zeros
// are an error.
func ParsePrivate(text string) (Private, error) {
	raw, err := parsePrefixed(privatePrefix, text)
	if err == nil && raw == [Len]byte{} {
		err = errZero
	}
	var k Private
	if err == nil {
		k, err = newPrivate(raw)
	}
	if err != nil {
		return Private{}, fmt.Errorf("private key: %w", err)
	}
	return k, nil
}

// Public returns the public key that belongs to k, and no key for no key.
func (k Private) Public() Public {
	if k.made == nil {
		return Public{}
	}
	return Public(k.made.PublicKey().Bytes())
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
