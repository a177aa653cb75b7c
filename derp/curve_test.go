package derp

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"testing"

	"golang.org/x/crypto/curve25519"

	"github.com/detour-relay/detour/key"
)

// number returns the bytes of 2^255 - 19 + n, or with high of that and 2^255.
func number(n int64, high bool) (k key.Public) {
	v := new(big.Int).Lsh(big.NewInt(1), 255)
	v.Add(v, big.NewInt(n-19))
	if high {
		v.Add(v, new(big.Int).Lsh(big.NewInt(1), 255))
	}
	v.FillBytes(k[:])
	slices.Reverse(k[:])
	return k
}

func fromHex(t *testing.T, text string) (k key.Public) {
	t.Helper()
	if n, err := hex.Decode(k[:], []byte(text)); err != nil || n != len(k) {
		t.Fatal(text, err)
	}
	return k
}

// improper returns the encodings of all points of low order, and others that no
// private key leads to.
func improper(t *testing.T) map[string]key.Public {
	a := fromHex(t, "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")
	b := fromHex(t, "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")
	keys := map[string]key.Public{
		"0": {}, "1": {1}, "order 8": a, "order 8, the other": b,
		"p-1": number(-1, false), "p": number(0, false), "p+1": number(1, false),
		"2p-1": number(-20, true), "2p": number(-19, true), "2p+1": number(-18, true), // of implementations that use bit 255
		"p+2": number(2, false), "p+18": number(18, false), "all ones": number(18, true),
	}
	for name, k := range keys {
		k[31] |= 0x80
		keys[name+", bit 255"] = k
	}
	return keys
}

func TestKeysThatNoPrivateKeyLeadsToAreRefused(t *testing.T) {
	for name, k := range improper(t) {
		payload := append(append([]byte{}, k[:]...), make([]byte, MinClientInfo)...)
		if _, _, err := ParseClientInfo(payload); !errors.Is(err, ErrWeakKey) && !errors.Is(err, ErrZeroKey) {
			t.Errorf("login with %s: %v", name, err)
		}
	}
}

// Whatever passes has a shared secret; real keys pass.
func TestRealKeysPass(t *testing.T) {
	var lowest key.Public
	lowest[0] = 2
	for _, k := range []key.Public{lowest, number(-2, false)} {
		secret := make([]byte, 32)
		rand.Read(secret)
		if _, err := curve25519.X25519(secret, k[:]); err != nil || checkKey(k) != nil {
			t.Errorf("%x: %v, %v", k, err, checkKey(k))
		}
	}
	for range 2000 {
		k := key.NewPrivate().Public()
		if err := checkKey(k); err != nil {
			t.Fatalf("%x: %v", k, err)
		}
		k[31] |= 0x80
		if err := checkKey(k); !errors.Is(err, ErrWeakKey) {
			t.Fatalf("%x, a second name, passes", k)
		}
	}
	for name, k := range improper(t) {
		secret := make([]byte, 32)
		rand.Read(secret)
		if _, err := curve25519.X25519(secret, k[:]); err != nil && checkKey(k) == nil {
			t.Errorf("%s has no shared secret and passes", name)
		}
	}
}

// The comparison with the prime is held against that of big numbers.
func TestBelowPrime(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	check := func(k key.Public) {
		bytes := slices.Clone(k[:])
		slices.Reverse(bytes)
		if want := new(big.Int).SetBytes(bytes).Cmp(p) < 0; belowPrime(k) != want {
			t.Errorf("belowPrime(%x) is %v", k, !want)
		}
	}
	for n := int64(-300); n <= 18; n++ {
		check(number(n, false))
		check(number(n, true))
	}
	for bit := range 256 {
		for _, k := range []key.Public{number(-1, false), number(0, false), {}} {
			k[bit/8] ^= 1 << (bit % 8)
			check(k)
		}
	}
}
