package key

import (
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const redactedMesh = "meshkey:(secret)"

// Mesh is the secret that the relays of a region share. It does not print; Text gives it away. The zero value means "no
// mesh key", also when it was written out as 64 zeros.
type Mesh struct{ raw [Len]byte }

// ParseMesh reads exactly 64 hex digits, no prefix, no white space.
func ParseMesh(text string) (Mesh, error) {
	raw, err := parseHex(text)
	if err != nil {
		return Mesh{}, fmt.Errorf("mesh key: %w", err)
	}
	return Mesh{raw}, nil
}

// IsZero reports whether m means "no mesh key".
func (m Mesh) IsZero() bool { return m.Equal(Mesh{}) }

// Equal compares in constant time. Mind that no key equals no key.
func (m Mesh) Equal(other Mesh) bool {
	return subtle.ConstantTimeCompare(m.raw[:], other.raw[:]) == 1
}

// Text returns the secret: 64 lowercase hex digits.
func (m Mesh) Text() string { return hex.EncodeToString(m.raw[:]) }

// UnmarshalJSON reads a string of exactly 64 hex digits. The empty string and null are errors: a login without mesh key
// leaves the member out.
func (m *Mesh) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil || text == nil {
		return errors.New("mesh key: want a JSON string")
	}
	parsed, err := ParseMesh(*text)
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}

// String returns the redacted form.
func (m Mesh) String() string { return redactedMesh }

// GoString returns the redacted form.
func (m Mesh) GoString() string { return redactedMesh }

// Format prints the redacted form, whatever the verb.
func (m Mesh) Format(f fmt.State, verb rune) { io.WriteString(f, redactedMesh) }

// LogValue returns the redacted form.
func (m Mesh) LogValue() slog.Value { return slog.StringValue(redactedMesh) }
