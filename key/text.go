package key

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Len is the length of every key in bytes.
const Len = 32

const hexLen = 2 * Len

var errZero = errors.New("the key is all zeros")

// parseHex reads exactly 64 hex digits of either case. Its errors say what is wrong but repeat nothing of the text,
// because the text may be a secret.
func parseHex(text string) (raw [Len]byte, err error) {
	if len(text) == hexLen {
		if _, err := hex.Decode(raw[:], []byte(text)); err == nil {
			return raw, nil
		}
	}
	if n := utf8.RuneCountInString(text); n != hexLen {
		return [Len]byte{}, fmt.Errorf("want %d hex digits, got %d characters", hexLen, n)
	}
	wrong := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
	return [Len]byte{}, fmt.Errorf("want %d hex digits, and character %d is none", hexLen, 1+utf8.RuneCountInString(text[:wrong]))
}

// parsePrefixed reads prefix followed by 64 hex digits.
func parsePrefixed(prefix, text string) (raw [Len]byte, err error) {
	digits, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return raw, fmt.Errorf("want %q in front of %d hex digits", prefix, hexLen)
	}
	return parseHex(digits)
}
