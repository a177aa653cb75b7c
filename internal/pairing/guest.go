package pairing

import (
	"errors"

	"github.com/detour-relay/detour/internal/armour"
	"github.com/detour-relay/detour/key"
)

// Why a guest is refused.
var (
	ErrUsed    = errors.New("somebody else has used the token")
	ErrExpired = errors.New("the token has expired")
	ErrUnknown = errors.New("the other machine knows no such token any more")
	ErrOwn     = errors.New("the token is our own: it is for the other machine")
)

var refusals = map[byte]error{becauseUsed: ErrUsed, becauseExpired: ErrExpired}

// A Peer is the other side, once each knows the other.
type Peer struct {
	About
	Key       key.Public
	Preshared [32]byte
}

// A Guest says hello with a token. One goroutine at a time uses it.
type Guest struct {
	channel
	secret [secretLen]byte
}

// NewGuest has a key say hello.
func NewGuest(token Token, own key.Private) (*Guest, error) {
	if token.Inviter == own.Public() {
		return nil, ErrOwn
	}
	return &Guest{newChannel(own, token.Inviter), token.Secret}, nil
}

// Preshared is the key that the two will share.
func (g *Guest) Preshared() [32]byte { return presharedOf(g.secret, g.far, g.own) }

// Hello returns the packet for the inviter, to be sent again until there is an answer.
func (g *Guest) Hello(self About) []byte { return g.seal(g.secret[:], kindHello, self.append(nil)) }

// Take looks at a packet that came from a key. It returns the inviter once we are welcome,
// ErrUsed, ErrExpired or ErrUnknown if we are not, and neither for anything else.
func (g *Guest) Take(from key.Public, packet []byte) (*Peer, error) {
	if from != g.far {
		return nil, nil
	}
	l, ok := g.open(packet)
	switch {
	case !ok:
		return nil, nil
	case l.kind == kindRefused && len(l.body) == 1 && l.body[0] == becauseUnknown && l.knows(noSecret[:]):
		return nil, ErrUnknown
	case !l.knows(g.secret[:]):
		return nil, nil
	case l.kind == kindRefused && len(l.body) == 1:
		return nil, refusals[l.body[0]]
	case l.kind != kindWelcome:
		return nil, nil
	}
	about, whole := takeAbout(readerOf(l.body))
	if !whole {
		return nil, nil
	}
	return &Peer{About: about, Key: from, Preshared: g.Preshared()}, nil
}

func readerOf(body []byte) *armour.Reader { return &armour.Reader{Rest: body} }
