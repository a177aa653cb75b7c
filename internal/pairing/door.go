package pairing

import (
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

// What a refusal says, in one byte.
const (
	becauseUsed    = 1
	becauseExpired = 2
	becauseUnknown = 3
)

// How many hellos are looked at, of each key and of all: one costs a multiplication on the
// curve, and anybody who knows our key can send them.
var (
	hellosOfOne = rate.Limit{PerSecond: 4, Burst: 8}
	hellosOfAll = rate.Limit{PerSecond: 100, Burst: 100}
)

const (
	mostInvitations = 16
	mostSenders     = 256 // whose hellos are counted

	// keptTime is how long it is remembered that an invitation has expired.
	keptTime = time.Hour
)

// noSecret is that of a refusal to somebody who knows none of ours.
var noSecret [secretLen]byte

// An Invitation is a token as its inviter waits for the guest.
type Invitation struct {
	Secret  [secretLen]byte
	Expires time.Time
	Guest   key.Public // who has come with it; zero: nobody
}

// A Door is where guests come in. One goroutine at a time uses it.
type Door struct {
	Invitations []Invitation // the newest last

	own     key.Private
	all     rate.Bucket
	senders map[key.Public]*rate.Bucket
	began   time.Time
}

// NewDoor has the invitations of a key, which may have been made before a restart.
func NewDoor(own key.Private, invitations []Invitation) *Door {
	return &Door{Invitations: invitations, own: own, senders: make(map[key.Public]*rate.Bucket)}
}

// Invite adds an invitation for a token. Of many the oldest count no more.
func (d *Door) Invite(t Token, now time.Time) {
	d.Invitations = slices.DeleteFunc(d.Invitations, func(i Invitation) bool { return now.After(i.Expires.Add(keptTime)) })
	d.Invitations = append(d.Invitations, Invitation{Secret: t.Secret, Expires: t.Expires})
	d.Invitations = d.Invitations[max(0, len(d.Invitations)-mostInvitations):]
}

// Take looks at a packet that came from a key. It returns the answer to send, with self
// about us, and the guest if it is welcome, each time it says hello. Both are nil for what
// is no hello to us.
func (d *Door) Take(from key.Public, packet []byte, self About, now time.Time) (answer []byte, guest *Peer) {
	if !Is(packet) || from.IsZero() || !d.mayTry(from, now) {
		return nil, nil
	}
	c := newChannel(d.own, from)
	l, ok := c.open(packet)
	if !ok || l.kind != kindHello {
		return nil, nil
	}
	for i := range d.Invitations {
		if in := &d.Invitations[i]; l.knows(in.Secret[:]) {
			return in.take(&c, &l, self, now)
		}
	}
	return c.seal(noSecret[:], kindRefused, []byte{becauseUnknown}), nil
}

func (i *Invitation) take(c *channel, l *letter, self About, now time.Time) (answer []byte, guest *Peer) {
	about, whole := takeAbout(readerOf(l.body))
	switch {
	case !whole:
		return nil, nil
	case !i.Guest.IsZero() && i.Guest != l.from:
		return c.seal(i.Secret[:], kindRefused, []byte{becauseUsed}), nil
	case i.Guest.IsZero() && now.After(i.Expires):
		return c.seal(i.Secret[:], kindRefused, []byte{becauseExpired}), nil
	}
	i.Guest = l.from
	return c.seal(i.Secret[:], kindWelcome, self.append(nil)), &Peer{Key: l.from, About: about, Preshared: presharedOf(i.Secret, l.to, l.from)}
}

// mayTry reports whether a hello is looked at. So many of one key leave room for others.
func (d *Door) mayTry(from key.Public, now time.Time) bool {
	if d.began.IsZero() {
		d.began = now
	}
	b := d.senders[from]
	if b == nil {
		if len(d.senders) == mostSenders {
			clear(d.senders)
		}
		b = new(rate.Bucket)
		d.senders[from] = b
	}
	passed := now.Sub(d.began)
	return b.Take(hellosOfOne, 1, passed) && d.all.Take(hellosOfAll, 1, passed)
}
