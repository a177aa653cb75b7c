package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
)

// A Token lets its bearer do everything. The zero value lets nobody.
type Token struct {
	sum [sha256.Size]byte
	set bool
}

const (
	leastBits      = 128
	leastDifferent = 8 // characters
	mostTokenFile  = 64 << 10
	mostToken      = 1024
)

// remedy makes a token of 256 bits.
const remedy = `make one with "openssl rand -hex 32"`

// ReadToken returns the secret in a file: its only line that is not empty and no
// comment.
func ReadToken(path string) (secret string, err error) {
	data, err := smallfile.Read(path, mostTokenFile)
	if err != nil {
		return "", err
	}
	if data, err = text.DecodeASCII(data); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if lines := text.Lines(data); len(lines) > 1 {
		return "", fmt.Errorf("%s: it has more than one token: leave one", path)
	} else if len(lines) == 1 {
		secret = lines[0]
	}
	if err := checkToken(secret); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return secret, nil
}

// NewToken returns the token with the secret.
func NewToken(secret string) (Token, error) {
	if err := checkToken(secret); err != nil {
		return Token{}, err
	}
	return Token{sha256.Sum256([]byte(secret)), true}, nil
}

// is compares in constant time.
func (t Token) is(secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 && t.set
}

// checkToken wants a secret that fits a header and cannot be guessed. It repeats
// nothing of it.
func checkToken(secret string) error {
	switch n := bits(secret); {
	case secret == "":
		return errors.New("there is no token: " + remedy)
	case len(secret) > mostToken:
		return fmt.Errorf("the token has more than %d characters: %s", mostToken, remedy)
	case strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token has a space or a character that is no ASCII: " + remedy)
	case n < leastBits:
		return fmt.Errorf("the token can be guessed, it has %.0f bits at most and needs %d: %s", n, leastBits, remedy)
	}
	return nil
}

// bits is how much a secret can hold at most: one of so many characters, each time.
func bits(secret string) float64 {
	const hex = "0123456789abcdef"
	different := make(map[rune]bool)
	for _, r := range secret {
		different[r] = true
	}
	choice := 0
	for _, kind := range []string{"0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"} {
		if strings.ContainsAny(secret, kind) {
			choice += len(kind)
		}
	}
	switch {
	case len(different) < leastDifferent: // somebody leant on the keyboard
		choice = 1
	case strings.Trim(strings.ToLower(secret), hex) == "":
		choice = len(hex)
	}
	return float64(len(secret)) * math.Log2(float64(max(choice, 1)))
}
