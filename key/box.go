package key

import (
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/crypto/nacl/box"
	//lint:ignore SA1019 new protocols are to use others, but boxes are made with it, and their package has no way to use a key twice
	"golang.org/x/crypto/salsa20/salsa"
)

const nonceLen = 24

// BoxOverhead is how much longer a sealed message is than the message: a 24-byte nonce in front and a 16-byte tag.
const BoxOverhead = nonceLen + box.Overhead

const redactedBox = "box:(secret)"

// Box seals and opens messages between two keys (NaCl crypto_box: X25519, XSalsa20, Poly1305). Both ends compute the
// same Box. It may be used by several goroutines at once.
type Box struct{ shared [Len]byte }

// Box computes what k and peer share. It costs one X25519 multiplication.
func (k Private) Box(peer Public) Box {
	var b Box
	if k.made == nil {
		box.Precompute(&b.shared, (*[Len]byte)(&peer), &k.raw)
		return b
	}
	b.shared = k.multiply(peer)
	salsa.HSalsa20(&b.shared, new([16]byte), &b.shared, &salsa.Sigma)
	return b
}

// multiply returns zeros for a key to which no private one leads.
func (k Private) multiply(peer Public) (product [Len]byte) {
	point, err := ecdh.X25519().NewPublicKey(peer[:])
	if err != nil {
		return product
	}
	if x, err := k.made.ECDH(point); err == nil {
		copy(product[:], x)
	}
	return product
}

// Seal returns a new buffer with a random nonce followed by the sealed message.
func (b *Box) Seal(msg []byte) []byte {
	var nonce [nonceLen]byte
	rand.Read(nonce[:]) // never fails: crypto/rand ends the program instead
	return b.seal(nonce, msg)
}

func (b *Box) seal(nonce [nonceLen]byte, msg []byte) []byte {
	sealed := make([]byte, nonceLen, BoxOverhead+len(msg))
	copy(sealed, nonce[:])
	return box.SealAfterPrecomputation(sealed, msg, &nonce, &b.shared)
}

// AppendSeal appends to a buffer what Seal returns; it and msg must not overlap.
func (b *Box) AppendSeal(to, msg []byte) []byte {
	start := len(to)
	to = append(to, make([]byte, nonceLen)...)
	rand.Read(to[start:])
	return box.SealAfterPrecomputation(to, msg, (*[nonceLen]byte)(to[start:]), &b.shared)
}

// AppendOpen appends to a buffer what Open returns, or returns the buffer as it was; it and sealed must not overlap.
func (b *Box) AppendOpen(to, sealed []byte) (whole []byte, ok bool) {
	if len(sealed) < BoxOverhead {
		return to, false
	}
	whole, ok = box.OpenAfterPrecomputation(to, sealed[nonceLen:], (*[nonceLen]byte)(sealed), &b.shared)
	if !ok {
		return to, false
	}
	return whole, true
}

// Open returns the message in a new buffer, or false if sealed was not made by an equal Box or has been changed.
func (b *Box) Open(sealed []byte) (msg []byte, ok bool) {
	if len(sealed) < BoxOverhead {
		return nil, false
	}
	nonce := [nonceLen]byte(sealed)
	return box.OpenAfterPrecomputation(nil, sealed[nonceLen:], &nonce, &b.shared)
}

// String returns the redacted form.
func (b Box) String() string { return redactedBox }

// Format prints the redacted form, whatever the verb.
func (b Box) Format(f fmt.State, verb rune) { io.WriteString(f, redactedBox) }

// LogValue returns the redacted form.
func (b Box) LogValue() slog.Value { return slog.StringValue(redactedBox) }
