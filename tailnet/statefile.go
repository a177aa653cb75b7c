package tailnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

const (
	stateFormat = 1
	mostState   = 128 << 20 // bytes: MostMembers peers and a map
)

// saved is the state file: all that a member needs while no coordinator answers.
type saved struct {
	Format       int             `json:"detour_member"`
	Key          string          `json:"key,omitempty"`     // empty: somebody else keeps it
	Node         key.Public      `json:"node"`              // of Key: whether that is whole
	Tailnet      string          `json:"tailnet,omitempty"` // empty: it has not joined yet
	TailnetName  string          `json:"tailnet_name,omitempty"`
	Name         string          `json:"name,omitempty"`
	Addresses    []netip.Addr    `json:"addresses,omitempty"`
	Coordinators []savedContact  `json:"coordinators"`
	Invite       string          `json:"invite,omitempty"` // ID of the one that it joined with
	Boot         uint64          `json:"boot"`
	Home         int             `json:"home,omitempty"` // that the coordinators have
	Cursor       string          `json:"cursor,omitempty"`
	CursorTime   time.Time       `json:"cursor_time,omitzero"`
	Peers        []savedPeer     `json:"peers,omitempty"`
	Map          json.RawMessage `json:"map,omitempty"`

	private  key.Private // zero until use, where somebody else keeps it
	foreign  bool        // somebody else does
	contacts []coordapi.Contact
}

type savedContact struct {
	URL string `json:"url"`
	Pin string `json:"pin,omitempty"`
}

type savedPeer struct {
	Key       key.Public   `json:"key"`
	Name      string       `json:"name,omitempty"`
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Home      int          `json:"home,omitempty"`
	Disco     key.Public   `json:"disco,omitzero"`
}

// readState reads a state file. One that is not there is fs.ErrNotExist.
func readState(path string) (*saved, error) {
	text, err := smallfile.Read(path, mostState)
	if err != nil {
		return nil, err
	}
	s, err := parseState(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// parseState takes what encode has written, whole.
func parseState(text []byte) (*saved, error) {
	s := new(saved)
	if err := json.Unmarshal(text, s); err != nil && s.Format <= stateFormat {
		return nil, damaged("it is not whole")
	}
	if s.Format > stateFormat {
		return nil, fmt.Errorf("%w (%d, this one knows %d)", ErrNewer, s.Format, stateFormat)
	}
	var err error
	if s.foreign = s.Key == ""; !s.foreign {
		s.private, err = key.ParsePrivate(s.Key)
	}
	switch {
	case s.Format != stateFormat:
		return nil, damaged("it is no state file of a member")
	case err != nil || s.foreign && s.Node.IsZero():
		return nil, damaged("its key is none")
	case !s.foreign && s.private.Public() != s.Node:
		return nil, damaged("its key is not that of the member")
	case len(s.Coordinators) == 0:
		return nil, damaged("it names no coordinator")
	}
	return s, s.parseContacts()
}

// newState is that of who is no member yet; k is the key that somebody else keeps, zero:
// there is a new one.
func newState(k key.Private) *saved {
	s := &saved{private: k, foreign: !k.IsZero()}
	if !s.foreign {
		s.private = key.NewPrivate()
	}
	s.Node = s.private.Public()
	return s
}

// use takes the key that somebody else keeps; zero: nobody does. It fails if the file is
// not of who has it.
func (s *saved) use(k key.Private) error {
	switch {
	case k.IsZero() && s.foreign:
		return fmt.Errorf("%w: that of %s is kept elsewhere: name another state file", ErrOtherKey, s.Node)
	case k.IsZero():
		return nil
	case k.Public() != s.Node:
		return fmt.Errorf("%w: it is of %s, and this is %s: name another state file, and join with an invite", ErrOtherKey, s.Node, k.Public())
	}
	s.private = k
	return nil
}

func damaged(what string) error {
	return fmt.Errorf("%w: %s: put back a copy of it, or move it away and join again with an invite", ErrDamaged, what)
}

func (s *saved) parseContacts() error {
	for _, c := range s.Coordinators {
		contact := coordapi.Contact{URL: c.URL}
		if c.Pin != "" {
			p, err := pin.Parse(c.Pin)
			if err != nil {
				return damaged("the pin of a coordinator is none")
			}
			contact.Pin = p.Sum()
		}
		s.contacts = append(s.contacts, contact)
	}
	return nil
}

// setContacts notes whom to ask.
func (s *saved) setContacts(all []coordapi.Contact) {
	s.contacts, s.Coordinators = all, nil
	for _, c := range all {
		known := savedContact{URL: c.URL}
		if c.HasPin() {
			known.Pin = pinText(c)
		}
		s.Coordinators = append(s.Coordinators, known)
	}
}

// write puts the state file in place of the one before.
func (s *saved) write(path string) error {
	s.Format, s.Node = stateFormat, s.private.Public()
	if !s.foreign {
		s.Key = s.private.Text()
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return smallfile.WriteOver(path, append(text, '\n'), smallfile.ModeSecret)
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
