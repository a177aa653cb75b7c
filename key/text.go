package key

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Len is the length of every key in bytes.
const Len = 32

const hexLen = 2 * Len

var errZero = errors.New("the key is all zeros")

// parseHex reads exactly 64 hex digits of either case. Its errors say what is wrong but repeat nothing of the text,
// because the text may be a secret.
func parseHex(text string) (raw [Len]byte, err error) {
	if len(text) != hexLen {
		return raw, fmt.Errorf("want %d hex digits, got %d characters", hexLen, len(text))
	}
	var parsed [Len]byte
	if _, err := hex.Decode(parsed[:], []byte(text)); err != nil {
		return raw, fmt.Errorf("want %d hex digits, got other characters among them", hexLen)
	}
	return parsed, nil
}

// parsePrefixed reads prefix followed by 64 hex digits.
func parsePrefixed(prefix, text string) (raw [Len]byte, err error) {
	digits, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return raw, fmt.Errorf("want %q in front of %d hex digits", prefix, hexLen)
	}
	return parseHex(digits)
}
