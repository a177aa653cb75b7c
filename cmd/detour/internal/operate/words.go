package operate

import (
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/key"
)

// parseKeys reads the keys of peers. What may be a secret is not repeated.
func parseKeys(args []string) (keys []key.Public, err error) {
	seen := make(map[key.Public]bool, len(args))
	for i, text := range args {
		k, err := key.ParsePublic(text)
		if err != nil {
			return nil, notKey(i+1, text, err)
		}
		if k.IsZero() {
			return nil, cli.Usagef("%q is all zeros, which nobody has", text)
		}
		if !seen[k] {
			seen[k] = true
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func notKey(n int, text string, err error) error {
	if _, secret := key.ParsePrivate(text); secret == nil || strings.HasPrefix(text, "privkey:") {
		return cli.Usagef("argument %d is a private key: keep it secret (the shell may remember this line), and give the public key, nodekey:<hex>", n)
	}
	if !strings.HasPrefix(text, "nodekey:") { // whatever it is
		return cli.Usagef("argument %d is not the key of a peer: %w", n, err)
	}
	return cli.Usagef("%q is not the key of a peer: %w", cli.Clean(text, 80), err)
}
