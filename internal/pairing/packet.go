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
)

// Is reports whether a packet is one of pairing, if perhaps not a good one.
func Is(packet []byte) bool { return bytes.HasPrefix(packet, []byte(magic)) }

// A pair of keys, and what a packet from one to the other is sealed and authenticated by.
type channel struct {
	secret   [secretLen]byte
	own, far key.Public
	box      key.Box
}

func newChannel(secret [secretLen]byte, own key.Private, far key.Public) channel {
	return channel{secret, own.Public(), far, own.Box(far)}
}

func (c *channel) mac(k kind, from, to key.Public, body []byte) []byte {
	mac := hmac.New(sha256.New, c.secret[:])
	mac.Write([]byte(context))
	mac.Write([]byte{byte(k)})
	mac.Write(from[:])
	mac.Write(to[:])
	mac.Write(body)
	return mac.Sum(nil)
}

// seal makes a packet for the other side.
func (c *channel) seal(k kind, body []byte) []byte {
	plain := append(append(c.mac(k, c.own, c.far, body), byte(k)), body...)
	return append([]byte(magic), c.box.Seal(plain)...)
}

// open reads a packet of the other side; false: it is not authentic.
func (c *channel) open(packet []byte) (k kind, body []byte, ok bool) {
	sealed, found := bytes.CutPrefix(packet, []byte(magic))
	if !found || len(packet) > mostPacket {
		return 0, nil, false
	}
	plain, ok := c.box.Open(sealed)
	if !ok || len(plain) < sha256.Size+1 {
		return 0, nil, false
	}
	mac, k, body := plain[:sha256.Size], kind(plain[sha256.Size]), plain[sha256.Size+1:]
	return k, body, hmac.Equal(mac, c.mac(k, c.far, c.own, body))
}

// preshared is the key for WireGuard that only the two have.
func (c *channel) preshared(inviter, guest key.Public) (k [32]byte) {
	mac := hmac.New(sha256.New, c.secret[:])
	mac.Write([]byte(presharedContext))
	mac.Write(inviter[:])
	mac.Write(guest[:])
	copy(k[:], mac.Sum(nil))
	return k
}

// about is the body of hello and welcome: where we are at home, and our name.
func about(name string, home int) []byte {
	if len(name) > mostName {
		name = name[:mostName]
	}
	return armour.AppendText(binary.BigEndian.AppendUint16(nil, uint16(home)), name)
}

func parseAbout(body []byte) (name string, home int, ok bool) {
	r := armour.Reader{Rest: body}
	home = int(number(&r, 2))
	name = r.Text()
	return name, home, r.Whole() && len(name) <= mostName
}
