package interop

import (
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/key"
)

// endpoint is a logged-in peer, whoever wrote its code.
type endpoint interface {
	address() key.Public
	sendTo(t *testing.T, to key.Public, packet []byte)
	wantFrom(t *testing.T, from key.Public, packet []byte) // as the next message
}

// exchange sends packets of the sizes that matter from one peer to another, which must receive them whole and in order. Each
// is waited for, so that no queue has a reason to drop one.
func exchange(t *testing.T, from, to endpoint) {
	t.Helper()
	for _, size := range []int{0, 1, 62, 1400, 32 << 10, 64<<10 - 1, 64 << 10} {
		packet := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)}).Read(packet)
		from.sendTo(t, to.address(), packet)
		to.wantFrom(t, from.address(), packet)
	}
}

// disco returns a packet with the shape of a disco message, which is all that a relay looks at.
func disco(text string) []byte {
	packet := make([]byte, 62, 62+len(text))
	copy(packet, "TS💬")
	return append(packet, text...)
}
