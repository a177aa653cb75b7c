package key

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/detour-relay/detour/internal/text"
)

// mostBytes bounds key files. A person's file with comments has a few hundred.
const mostBytes = 64 << 10

// named matches the name before a value, as in files of variables and in YAML.
var named = regexp.MustCompile(`^(?:(?:export[ \t]+|-[ \t]+)?[A-Za-z_][\w.-]*[ \t]*(?:=|:))`)

// unwrap takes from a line what people put around a key: white space of any kind, quotes, a name, a comment.
func unwrap(line string) string {
	for {
		bare := strings.TrimFunc(line, around)
		bare, _, _ = strings.Cut(bare, "#")
		name := named.FindString(bare)
		if value := strings.TrimLeft(bare[len(name):], "="); value != "" && !isKeyPrefix(name) { // not the end of base64
			bare = bare[len(name):]
		}
		if bare == line {
			return line
		}
		line = bare
	}
}

// around reports what may stand around a key without meaning anything.
func around(r rune) bool {
	if unicode.IsSpace(r) || strings.ContainsRune("\"'`,;", r) {
		return true
	}
	for s := range text.Strays([]byte(string(r))) {
		return strings.Contains(" \"'`\n", s.Meant) // empty, too
	}
	return false
}

// prefixes are those of keys that are written down, and what they are.
var prefixes = []struct{ prefix, what string }{
	{privatePrefix, "the private key of a relay"},
	{publicPrefix, "a public key"},
	{"discokey:", "the disco key of a peer"},
	{"mkey:", "the key of a machine"},
	{"nlpriv:", "a key of Tailnet Lock"},
	{"tskey-", "a key to log in to a tailnet"},
	{"hskey-", "a key of Headscale"},
}

func isKeyPrefix(name string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, strings.TrimRight(p.prefix, ":-")) {
			return true
		}
	}
	return false
}

// foreign says what a text is that is no key of the kind that is wanted; "" if it is nothing known. It repeats nothing of it.
func foreign(s string) string {
	inBase64 := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	switch raw, err := base64.RawStdEncoding.DecodeString(inBase64); {
	case strings.Contains(s, "-----BEGIN"):
		return "this is PEM, as keys of certificates are"
	case err == nil && len(raw) == Len:
		return "this is a key in base64, as WireGuard writes them"
	}
	for _, p := range prefixes {
		if strings.HasPrefix(s, p.prefix) {
			return "this is " + p.what
		}
	}
	return ""
}

// strayIn names the first character that a word processor put into a text.
func strayIn(content string) error {
	if s, ok := text.FirstStray([]byte(content)); ok {
		return fmt.Errorf("%v is character %d of line %d: %s", s, s.Column, s.Line, s.Remedy())
	}
	return nil
}

// decode is that of text, for files that cannot be empty. It repeats nothing of them.
func decode(data []byte) (string, error) {
	if len(data) == Len && bytes.ContainsFunc(data, func(r rune) bool { return r < '\t' || r > '~' }) {
		return "", errors.New("these are 32 bytes of binary: write them as hex digits (xxd -p -c 32)")
	}
	plain, err := text.DecodeASCII(data)
	if err != nil {
		return "", err
	}
	if strings.TrimFunc(string(plain), around) == "" {
		return "", errEmpty
	}
	return string(plain), nil
}

var errEmpty = errors.New("it is empty")
