package pairing

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/detour-relay/detour/internal/armour"
	"github.com/detour-relay/detour/key"
)

// magic begins each packet. WireGuard's begin with a small number, discovery's with
// another text.
const magic = "detour-pair1"

const (
	context          = "detour pairing 1: packet"
	presharedContext = "detour pairing 1: preshared key"
	mostName         = 63
	mostPacket       = 512
)

// A kind is what a packet is.
type kind byte

const (
	kindHello   kind = 1
	kindWelcome kind = 2
	kindRefused kind = 3
	kindHere    kind = 4
)

// Is reports whether a packet is one of pairing, if perhaps not a good one.
func Is(packet []byte) bool { return bytes.HasPrefix(packet, []byte(magic)) }

// A channel is two keys, and what a packet from one to the other is sealed by.
type channel struct {
	own, far key.Public
	box      key.Box
}

func newChannel(own key.Private, far key.Public) channel {
	return channel{own.Public(), far, own.Box(far)}
}

func macOf(secret []byte, k kind, from, to key.Public, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(context))
	mac.Write([]byte{byte(k)})
	mac.Write(from[:])
	mac.Write(to[:])
	mac.Write(body)
	return mac.Sum(nil)
}

// seal makes a packet for the other side.
func (c *channel) seal(secret []byte, k kind, body []byte) []byte {
	plain := append(append(macOf(secret, k, c.own, c.far, body), byte(k)), body...)
	return append([]byte(magic), c.box.Seal(plain)...)
}

// A letter is a packet that the other side has sealed to us. Whether it knows a secret is
// not looked at yet.
type letter struct {
	kind     kind
	mac      []byte
	body     []byte
	from, to key.Public
}

// open reads a packet; false: the other side has not sealed it.
func (c *channel) open(packet []byte) (l letter, ok bool) {
	sealed, found := bytes.CutPrefix(packet, []byte(magic))
	if !found || len(packet) > mostPacket {
		return letter{}, false
	}
	plain, ok := c.box.Open(sealed)
	if !ok || len(plain) < sha256.Size+1 {
		return letter{}, false
	}
	return letter{kind(plain[sha256.Size]), plain[:sha256.Size], plain[sha256.Size+1:], c.far, c.own}, true
}

// knows reports whether its sender knows the secret.
func (l *letter) knows(secret []byte) bool {
	return hmac.Equal(l.mac, macOf(secret, l.kind, l.from, l.to, l.body))
}

// presharedOf is the key for WireGuard that only the two have.
func presharedOf(secret [secretLen]byte, inviter, guest key.Public) (k [32]byte) {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte(presharedContext))
	mac.Write(inviter[:])
	mac.Write(guest[:])
	copy(k[:], mac.Sum(nil))
	return k
}

// About is what one side tells the other of itself.
type About struct {
	Name  string     // of at most 63 bytes; the other's may be anything
	Home  int        // region; 0: not known
	Disco key.Public // by which it looks for direct paths; zero: it does not
}

func (a About) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(a.Home))
	return armour.AppendText(append(b, a.Disco[:]...), a.Name[:min(len(a.Name), mostName)])
}

// takeAbout reads it, which is the rest; false: it is not whole.
func takeAbout(r *armour.Reader) (a About, ok bool) {
	a.Home = int(number(r, 2))
	copy(a.Disco[:], r.Take(key.Len))
	a.Name = r.Text()
	return a, r.Whole() && len(a.Name) <= mostName
}
