package pairing

import (
	"encoding/binary"
	"time"

	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

// heres is how many of a peer are looked at: who has relays between may repeat them.
var heres = rate.Limit{PerSecond: 5, Burst: 20}

// A Link is to a peer that is paired: each tells the other where it is now. One goroutine
// at a time uses it.
type Link struct {
	channel
	secret [32]byte
	last   uint64 // number of the newest that was taken
	bucket rate.Bucket
}

// NewLink is to a peer, of which packets up to last have been taken before a restart.
func NewLink(own key.Private, p Peer, last uint64) *Link {
	return &Link{channel: newChannel(own, p.Key), secret: p.Preshared, last: last}
}

// A Here is what one side tells the other.
type Here struct {
	About
	Number  uint64 // the greater one is the newer
	Answers uint64 // the number of the other's that it answers; 0: none, and wants an answer
}

// Tell makes the packet.
func (l *Link) Tell(h Here) []byte {
	b := binary.BigEndian.AppendUint64(nil, h.Number)
	b = binary.BigEndian.AppendUint64(b, h.Answers)
	return l.seal(l.secret[:], kindHere, h.append(b))
}

// Take looks at a packet of the peer. False: it is none, or older than another one. Since
// is any time that passes.
func (l *Link) Take(packet []byte, since time.Duration) (h Here, ok bool) {
	if !Is(packet) || !l.bucket.Take(heres, 1, since) {
		return h, false
	}
	is, ok := l.open(packet)
	if !ok || is.kind != kindHere || !is.knows(l.secret[:]) {
		return h, false
	}
	r := readerOf(is.body)
	h.Number, h.Answers = number(r, 8), number(r, 8)
	if h.About, ok = takeAbout(r); !ok || h.Number < l.last {
		return h, false
	}
	l.last = h.Number
	return h, true
}
