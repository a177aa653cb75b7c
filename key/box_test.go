package key

import (
	"crypto/rand"
	"strings"
	"testing"

	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/box"
)

// What a private key keeps of its multiplications changes no result: for any keys, for
// those to which no private key leads, and for no key.
func TestKeysAndBoxesAreThoseOfNaCl(t *testing.T) {
	peers := []Public{{}, {0: 1}, {31: 0x80}, {0: 2, 31: 0xff}}
	privates := []Private{{}, mustPrivate(t, privatePrefix+strings.Repeat("f", hexLen))}
	for range 8 {
		var p Public
		rand.Read(p[:])
		peers = append(peers, p, NewPrivate().Public())
		privates = append(privates, NewPrivate())
	}
	for _, k := range privates {
		var public [Len]byte
		curve25519.ScalarBaseMult(&public, &k.raw)
		if !k.IsZero() && k.Public() != public {
			t.Errorf("public key %v, want %x", k.Public(), public)
		}
		for _, peer := range peers {
			var shared [Len]byte
			box.Precompute(&shared, (*[Len]byte)(&peer), &k.raw)
			if k.Box(peer).shared != shared {
				t.Errorf("another box with %v", peer)
			}
		}
	}
}
