package pairing

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

// A Peer is the other side, once each knows the other.
type Peer struct {
	Key       key.Public
	Name      string // as it calls itself; may be anything
	Home      int    // region; 0: not known
	Preshared [32]byte
}

// Why a guest is refused.
var (
	ErrUsed    = errors.New("somebody else has used the token")
	ErrExpired = errors.New("the token has expired")
)

// What a refusal says, in one byte.
const (
	becauseUsed    = 1
	becauseExpired = 2
)

// hellos is how many are looked at: each costs a multiplication on the curve, and anybody
// who knows our key can send them.
var hellos = rate.Limit{PerSecond: 10, Burst: 20}

// An Invitation is a token as its inviter waits for the guest. One goroutine at a time
// uses it.
type Invitation struct {
	token Token
	own   key.Private
	name  string

	bucket rate.Bucket
	began  time.Time
	guest  *Peer // who has come
}

// NewInvitation waits for the guest of a token. Name is what the guest calls us; guest is
// who has come already, before a restart; nil: nobody.
func NewInvitation(token Token, own key.Private, name string, guest *Peer) *Invitation {
	return &Invitation{token: token, own: own, name: name, guest: guest}
}

// Take looks at a packet that came from a key. It returns the answer to send, and the
// guest if it is welcome, each time it says hello. Both are nil for what is not authentic.
// Home is the region where we are at home now.
func (i *Invitation) Take(from key.Public, packet []byte, home int, now time.Time) (answer []byte, guest *Peer) {
	if i.began.IsZero() {
		i.began = now
	}
	if !Is(packet) || from.IsZero() || !i.bucket.Take(hellos, 1, now.Sub(i.began)) {
		return nil, nil
	}
	c := newChannel(i.token.Secret, i.own, from)
	k, body, ok := c.open(packet)
	name, theirHome, whole := parseAbout(body)
	switch {
	case !ok || k != kindHello || !whole:
		return nil, nil
	case i.guest != nil && i.guest.Key != from:
		return c.seal(kindRefused, []byte{becauseUsed}), nil
	case i.guest == nil && now.After(i.token.Expires):
		return c.seal(kindRefused, []byte{becauseExpired}), nil
	}
	i.guest = &Peer{Key: from, Name: name, Home: theirHome, Preshared: c.preshared(i.own.Public(), from)}
	return c.seal(kindWelcome, about(i.name, home)), i.guest
}

// A Guest says hello with a token. One goroutine at a time uses it.
type Guest struct {
	channel
	name string
}

// NewGuest has a key say hello. Name is what the inviter calls us.
func NewGuest(token Token, own key.Private, name string) (*Guest, error) {
	if token.Inviter == own.Public() {
		return nil, errors.New("the token is our own: it is for the other machine")
	}
	return &Guest{newChannel(token.Secret, own, token.Inviter), name}, nil
}

// Hello returns the packet for the inviter, to be sent again until there is an answer. Home
// is the region where we are at home now.
func (g *Guest) Hello(home int) []byte { return g.seal(kindHello, about(g.name, home)) }

// Take looks at a packet that came from a key. It returns the inviter once we are welcome,
// ErrUsed or ErrExpired if we are not, and neither for anything else.
func (g *Guest) Take(from key.Public, packet []byte) (*Peer, error) {
	if from != g.far {
		return nil, nil
	}
	k, body, ok := g.open(packet)
	switch {
	case ok && k == kindRefused && len(body) == 1 && body[0] == becauseUsed:
		return nil, ErrUsed
	case ok && k == kindRefused && len(body) == 1 && body[0] == becauseExpired:
		return nil, ErrExpired
	case !ok || k != kindWelcome:
		return nil, nil
	}
	name, home, whole := parseAbout(body)
	if !whole {
		return nil, nil
	}
	return &Peer{Key: from, Name: name, Home: home, Preshared: g.preshared(from, g.own)}, nil
}

// Addresses are those of a key: one of 100.64.0.0/10 and one of fd00::/8. They follow from
// the key, so nobody gives them out; of two keys the IPv4 addresses are the same in one of
// four million cases.
func Addresses(k key.Public) [2]netip.Addr {
	sum := sha256.Sum256(append([]byte("detour pairing 1: addresses"), k[:]...))
	four := [4]byte{100, 64 | sum[0]&63, sum[1], sum[2]}
	switch four[3] {
	case 0: // some take it for that of a network
		four[3] = 1
	case 255: // and this for everybody's
		four[3] = 254
	}
	var six [16]byte
	copy(six[:], sum[8:])
	six[0] = 0xfd
	return [2]netip.Addr{netip.AddrFrom4(four), netip.AddrFrom16(six)}
}
