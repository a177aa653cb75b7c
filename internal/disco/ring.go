package disco

import (
	"errors"

	"github.com/detour-relay/detour/key"
)

const magic = "TS💬"

// HeaderLen is how many bytes stand in front of a box: magic, sender and nonce.
const HeaderLen = senderEnd + nonceLen

const (
	senderEnd = len(magic) + key.Len
	nonceLen  = 24
)

// Overhead is how much longer a packet is than its message.
const Overhead = senderEnd + key.BoxOverhead

// Errors of Open, besides those of Parse.
var (
	ErrNotDisco = errors.New("disco: not a disco packet")
	ErrStranger = errors.New("disco: from a key that nobody is known by")
	ErrSealed   = errors.New("disco: not sealed by its sender for us, or changed on its way")
)

// Sender reports whether a packet looks like disco, and whom it says to be from.
func Sender(packet []byte) (sender key.Public, ok bool) {
	if len(packet) < HeaderLen || string(packet[:len(magic)]) != magic {
		return sender, false
	}
	return key.Public(packet[len(magic):]), true
}

// A Ring seals and opens packets between us and those who have been added. One
// goroutine at a time uses it.
type Ring struct {
	private key.Private
	public  key.Public
	boxes   map[key.Public]*key.Box
	plain   []byte // a message, while it is sealed or read
}

// NewRing returns a Ring with nobody on it.
func NewRing(k key.Private) *Ring {
	return &Ring{private: k, public: k.Public(), boxes: make(map[key.Public]*key.Box)}
}

// Public is our disco key, which others have to be told.
func (r *Ring) Public() key.Public { return r.public }

// Add computes the box that we share with a peer, by its disco key. Nobody is on the
// ring by our own key or none: what we have sent could come back.
func (r *Ring) Add(peer key.Public) {
	if r.boxes[peer] != nil || peer == r.public || peer.IsZero() {
		return
	}
	box := r.private.Box(peer)
	r.boxes[peer] = &box
}

// Remove has a peer be a stranger.
func (r *Ring) Remove(peer key.Public) { delete(r.boxes, peer) }

// AppendSealed appends the packet of a message to somebody on the ring; to others,
// nothing.
func (r *Ring) AppendSealed(b []byte, to key.Public, m *Message) []byte {
	box := r.boxes[to]
	if box == nil {
		return b
	}
	r.plain = m.Append(r.plain[:0])
	b = append(append(b, magic...), r.public[:]...)
	return box.AppendSeal(b, r.plain)
}

// Open reads a packet into m, and says whose it is.
func (r *Ring) Open(packet []byte, m *Message) (from key.Public, err error) {
	from, ok := Sender(packet)
	if !ok {
		return from, ErrNotDisco
	}
	box := r.boxes[from]
	if box == nil {
		return from, ErrStranger
	}
	plain, ok := box.AppendOpen(r.plain[:0], packet[senderEnd:])
	if !ok {
		return from, ErrSealed
	}
	r.plain = plain
	return from, m.Parse(plain)
}
