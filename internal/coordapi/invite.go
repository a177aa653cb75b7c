package coordapi

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Scheme begins every invite.
const Scheme = "detour1"

const (
	mostContacts = 8
	mostURL      = 255
	mostTailnet  = 63
	checkLen     = 4
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

var plain = base32.StdEncoding.WithPadding(base32.NoPadding)

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
	b = append(append(b, byte(len(i.Tailnet))), i.Tailnet...)
	b = append(b, byte(len(i.Contacts)))
	for _, c := range i.Contacts {
		if err := checkContact(c.URL); err != nil {
			return "", err
		}
		b = append(append(b, byte(len(c.URL))), c.URL...)
		if !c.HasPin() {
			b = append(b, 0)
			continue
		}
		b = append(append(b, byte(len(c.Pin))), c.Pin[:]...)
	}
	sum := sha256.Sum256(b)
	return Scheme + strings.ToLower(plain.EncodeToString(append(b, sum[:checkLen]...))), nil
}

// ParseInvite reads what Text has written.
func ParseInvite(text string) (i Invite, err error) {
	text = strings.ToLower(strings.Join(strings.Fields(text), ""))
	coded, ok := strings.CutPrefix(text, Scheme)
	if !ok {
		return i, fmt.Errorf("%w: it does not begin with %s", ErrInvite, Scheme)
	}
	b, err := plain.DecodeString(strings.ToUpper(coded))
	if err != nil || len(b) < checkLen {
		return i, fmt.Errorf("%w: it has characters that no invite has, or too few", ErrInvite)
	}
	body, check := b[:len(b)-checkLen], b[len(b)-checkLen:]
	if sum := sha256.Sum256(body); binary.BigEndian.Uint32(sum[:]) != binary.BigEndian.Uint32(check) {
		return i, fmt.Errorf("%w: its checksum does not fit: a part is missing or mistyped", ErrInvite)
	}
	r := reader{body, false}
	copy(i.ID[:], r.take(len(i.ID)))
	copy(i.Secret[:], r.take(len(i.Secret)))
	i.Tailnet = string(r.take(r.length()))
	n := r.length()
	for range min(n, mostContacts) {
		c := Contact{URL: string(r.take(r.length()))}
		copy(c.Pin[:], r.take(r.length()))
		if !r.short {
			err = errors.Join(err, checkContact(c.URL))
		}
		i.Contacts = append(i.Contacts, c)
	}
	if r.short || len(r.rest) > 0 || n == 0 || len(i.Tailnet) > mostTailnet || err != nil {
		return Invite{}, fmt.Errorf("%w: what it says cannot be read: is it of a newer version?", ErrInvite)
	}
	return i, nil
}

// reader takes an invite apart.
type reader struct {
	rest  []byte
	short bool // more was wanted than there is
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.short, n = true, len(r.rest)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) length() int {
	if b := r.take(1); len(b) == 1 {
		return int(b[0])
	}
	return 0
}

func checkContact(text string) error {
	u, err := url.Parse(text)
	if err != nil || len(text) > mostURL || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return fmt.Errorf("%q: want the URL of a coordinator, such as https://coord.example.com", text)
	}
	return nil
}
