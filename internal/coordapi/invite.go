package coordapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/detour-relay/detour/internal/armour"
)

// Scheme begins every invite.
const Scheme = "detour1"

const (
	mostContacts = 8
	mostURL      = 255
	mostTailnet  = 63
)

// A Contact is where a coordinator is, and how to know that it is the one. Pin is
// the SHA-256 of its certificate; zero: the system's authorities say so.
type Contact struct {
	URL string // https://host:port, or http:// on loopback
	Pin [sha256.Size]byte
}

// HasPin reports whether the certificate is told by its pin.
func (c Contact) HasPin() bool { return c.Pin != [sha256.Size]byte{} }

// An Invite is the right to become a member, and where to go with it. As text it
// begins with Scheme and ends in a checksum; case and white space do not matter.
type Invite struct {
	ID       [8]byte
	Secret   [16]byte
	Tailnet  string    // its ID, so that a member can tell whether it is one already; empty: not told
	Contacts []Contact // 1 to 8, in the order to try them
}

// Credential is what the coordinator is told: ID and secret.
func (i Invite) Credential() string {
	return hex.EncodeToString(i.ID[:]) + "." + hex.EncodeToString(i.Secret[:])
}

// ErrInvite is beneath what ParseInvite refuses.
var ErrInvite = errors.New("this is no whole invite")

// Text returns the invite as it is passed on. It fails if there are too many
// contacts, or none, or a URL is none.
func (i Invite) Text() (string, error) {
	if len(i.Contacts) == 0 || len(i.Contacts) > mostContacts {
		return "", fmt.Errorf("an invite names 1 to %d coordinators, not %d", mostContacts, len(i.Contacts))
	}
	if len(i.Tailnet) > mostTailnet {
		return "", fmt.Errorf("the ID of a tailnet has at most %d bytes", mostTailnet)
	}
	b := append(i.ID[:len(i.ID):len(i.ID)], i.Secret[:]...)
	b = armour.AppendText(b, i.Tailnet)
	b = append(b, byte(len(i.Contacts)))
	for _, c := range i.Contacts {
		if err := checkContact(c.URL); err != nil {
			return "", err
		}
		b = armour.AppendText(b, c.URL)
		if !c.HasPin() {
			b = append(b, 0)
			continue
		}
		b = append(append(b, byte(len(c.Pin))), c.Pin[:]...)
	}
	return armour.Text(Scheme, b), nil
}

// ParseInvite reads what Text has written.
func ParseInvite(text string) (i Invite, err error) {
	body, err := armour.Parse(Scheme, text)
	switch {
	case errors.Is(err, armour.ErrScheme):
		return i, fmt.Errorf("%w: it does not begin with %s", ErrInvite, Scheme)
	case err != nil:
		return i, fmt.Errorf("%w: %w", ErrInvite, err)
	}
	r := armour.Reader{Rest: body}
	copy(i.ID[:], r.Take(len(i.ID)))
	copy(i.Secret[:], r.Take(len(i.Secret)))
	i.Tailnet = r.Text()
	n := r.Length()
	for range min(n, mostContacts) {
		c := Contact{URL: r.Text()}
		copy(c.Pin[:], r.Take(r.Length()))
		if !r.Short {
			err = errors.Join(err, checkContact(c.URL))
		}
		i.Contacts = append(i.Contacts, c)
	}
	if !r.Whole() || n == 0 || len(i.Tailnet) > mostTailnet || err != nil {
		return Invite{}, fmt.Errorf("%w: what it says cannot be read: is it of a newer version?", ErrInvite)
	}
	return i, nil
}

func checkContact(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > mostURL || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("%q: want the URL of a coordinator, such as https://coord.example.com", text)
	}
	return nil
}
