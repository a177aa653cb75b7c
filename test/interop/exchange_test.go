package interop

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

// endpoint is a logged-in peer, whoever wrote its code.
type endpoint interface {
	address() key.Public
	sendTo(t *testing.T, to key.Public, packet []byte)
	wantFrom(t *testing.T, from key.Public, packet []byte) // as the next message
	wantGone(t *testing.T, peer key.Public)                // as the next message
	within(d time.Duration) (packet []byte, ok bool)       // the next message, if there is one soon
	leave()
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

// introduce waits until packets of one peer reach another, whose relay the sibling may not have heard of yet.
func introduce(t *testing.T, from, to endpoint) {
	t.Helper()
	hello, enough := []byte("hello"), []byte("enough")
	late := time.Now().Add(patience)
	for {
		from.sendTo(t, to.address(), hello)
		if packet, ok := to.within(200 * time.Millisecond); ok {
			if !bytes.Equal(packet, hello) {
				t.Fatalf("%q came instead of a hello", packet)
			}
			break
		}
		if time.Now().After(late) {
			t.Fatalf("nothing came from %s to %s within %v", from.address().Short(), to.address().Short(), patience)
		}
	}
	from.sendTo(t, to.address(), enough)
	for { // other hellos may be under way
		packet, ok := to.within(patience)
		if !ok || bytes.Equal(packet, enough) {
			return
		}
	}
}

// disco returns a packet with the shape of a disco message, which is all that a relay looks at.
func disco(text string) []byte {
	packet := make([]byte, 62, 62+len(text))
	copy(packet, "TS💬")
	return append(packet, text...)
}
