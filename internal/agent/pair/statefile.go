package pair

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/pairing"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
)

const (
	stateFormat = 1
	mostState   = 4 << 20 // bytes

	// saveTime is how long what need not be written at once waits for more of it, and for
	// the disk to have room again.
	saveTime = 5 * time.Second
)

// saved is the state file.
type saved struct {
	Format  int           `json:"detour_pair"`
	Key     string        `json:"key"`
	Node    key.Public    `json:"node"` // of Key: whether that is whole
	Name    string        `json:"name"`
	Relays  []string      `json:"relays"`
	Boot    uint64        `json:"boot"`
	Home    int           `json:"home,omitempty"` // region that we were at home in last
	Peers   []savedPeer   `json:"peers,omitempty"`
	Invites []savedInvite `json:"invites,omitempty"`

	private key.Private
	relays  []pairing.Relay
}

type savedPeer struct {
	Key       key.Public `json:"key"`
	Name      string     `json:"name,omitempty"`
	Home      int        `json:"home,omitempty"`
	Disco     key.Public `json:"disco,omitzero"`
	Preshared string     `json:"preshared"`
	Number    uint64     `json:"number,omitempty"`

	preshared [32]byte
}

type savedInvite struct {
	Secret  string     `json:"secret"`
	Expires time.Time  `json:"expires"`
	Guest   key.Public `json:"guest,omitzero"`

	secret [16]byte
}

// IsStateFile reports whether a file is one of a pair, if perhaps a damaged one.
func IsStateFile(path string) bool {
	text, err := smallfile.Read(path, mostState)
	var s struct {
		Format int `json:"detour_pair"`
	}
	return err == nil && json.Unmarshal(text, &s) == nil && s.Format != 0
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

// parseState takes what write has written, whole.
func parseState(text []byte) (*saved, error) {
	s := new(saved)
	if err := json.Unmarshal(text, s); err != nil && s.Format <= stateFormat {
		return nil, damaged("it is not whole")
	}
	if s.Format > stateFormat {
		return nil, fmt.Errorf("%w (%d, this one knows %d)", ErrNewer, s.Format, stateFormat)
	}
	var err error
	switch s.private, err = key.ParsePrivate(s.Key); {
	case s.Format != stateFormat:
		return nil, damaged("it is no state file of a pair")
	case err != nil:
		return nil, damaged("its key is none")
	case s.private.Public() != s.Node:
		return nil, damaged("its key is not that of this machine")
	case len(s.Relays) == 0:
		return nil, damaged("it names no relay")
	}
	return s, s.parseRest()
}

func (s *saved) parseRest() (err error) {
	for _, text := range s.Relays {
		r, err := pairing.ParseRelay(text)
		if err != nil {
			return damaged("a relay of it is none")
		}
		s.relays = append(s.relays, r)
	}
	for i := range s.Peers {
		p := &s.Peers[i]
		if !unhex(p.preshared[:], p.Preshared) || p.Key.IsZero() {
			return damaged("a peer of it is none")
		}
		p.Home = max(p.Home, 0)
	}
	for i := range s.Invites {
		if in := &s.Invites[i]; !unhex(in.secret[:], in.Secret) {
			return damaged("an invite of it is none")
		}
	}
	return nil
}

// unhex reads a text of just so many bytes.
func unhex(to []byte, text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && copy(to, b) == len(b) && len(b) == len(to)
}

func damaged(what string) error {
	return fmt.Errorf("%w: %s: put back a copy of it, or move it away and pair anew", ErrDamaged, what)
}

// saving is what the state file has. It is guarded by Pair.mu.
type saving struct {
	dirty bool
	next  time.Time // when it may be written again
	home  int       // that is in it, or will be
	err   error     // why it could not be written last
	told  bool      // the owner knows of err
}

// dirtyLocked has the state file written soon.
func (p *Pair) dirtyLocked() {
	if !p.saving.dirty {
		p.saving.dirty, p.saving.next = true, time.Now().Add(saveTime)
		p.wakeKeeper()
	}
}

// saveLocked writes the state file.
func (p *Pair) saveLocked() error {
	s := saved{Format: stateFormat, Key: p.key.Text(), Node: p.key.Public(), Name: p.name, Boot: p.boot, Home: p.saving.home}
	for _, r := range p.relays {
		s.Relays = append(s.Relays, r.String())
	}
	for k, is := range p.peers {
		s.Peers = append(s.Peers, savedPeer{
			Key: k, Name: is.Name, Home: is.Home, Disco: is.Disco, Preshared: hex.EncodeToString(is.preshared[:]), Number: is.last,
		})
	}
	slices.SortFunc(s.Peers, func(a, b savedPeer) int { return strings.Compare(a.Name+a.Key.Hex(), b.Name+b.Key.Hex()) })
	for _, i := range p.door.Invitations {
		s.Invites = append(s.Invites, savedInvite{Secret: hex.EncodeToString(i.Secret[:]), Expires: i.Expires, Guest: i.Guest})
	}
	text, err := json.MarshalIndent(s, "", " ")
	if err == nil {
		err = smallfile.WriteOver(p.cfg.StateFile, append(text, '\n'), smallfile.ModeSecret)
	}
	if err != nil && p.saving.err == nil {
		p.log.Error("the state file cannot be written", "error", err)
	}
	p.saving.dirty, p.saving.next, p.saving.err = err != nil, time.Now().Add(saveTime), err
	p.saving.told = p.saving.told && err != nil
	return err
}
