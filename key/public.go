package key

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

const publicPrefix = "nodekey:"

// Public is a Curve25519 public key: the address of a peer or the identity of a relay. It is comparable and can be a map
// key. The zero value is no key; it never appears on the wire.
type Public [Len]byte

// ParsePublic reads "nodekey:" followed by 64 hex digits.
func ParsePublic(text string) (Public, error) {
	raw, err := parsePrefixed(publicPrefix, text)
	if err != nil {
		return Public{}, fmt.Errorf("public key: %w", err)
	}
	return raw, nil
}

// ParsePublicHex reads 64 hex digits without a prefix.
func ParsePublicHex(text string) (Public, error) {
	raw, err := parseHex(text)
	if err != nil {
		return Public{}, fmt.Errorf("public key: %w", err)
	}
	return raw, nil
}

// IsZero reports whether p is the zero value, which is no key.
func (p Public) IsZero() bool { return p == Public{} }

// Compare orders keys by their bytes.
func (p Public) Compare(q Public) int { return bytes.Compare(p[:], q[:]) }

// Hex returns 64 lowercase hex digits.
func (p Public) Hex() string { return hex.EncodeToString(p[:]) }

// String returns "nodekey:" and 64 lowercase hex digits.
func (p Public) String() string { return publicPrefix + p.Hex() }

// Short returns the form for logs, "[" and the first five characters of the key in base64 and "]", and "" for no key.
func (p Public) Short() string {
	if p.IsZero() {
		return ""
	}
	return "[" + base64.StdEncoding.EncodeToString(p[:])[:5] + "]"
}

// AppendText appends what String returns.
func (p Public) AppendText(b []byte) ([]byte, error) {
	return hex.AppendEncode(append(b, publicPrefix...), p[:]), nil
}

// MarshalText returns what String returns.
func (p Public) MarshalText() ([]byte, error) { return p.AppendText(nil) }

// UnmarshalText reads what ParsePublic reads.
func (p *Public) UnmarshalText(text []byte) error {
	parsed, err := ParsePublic(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}
