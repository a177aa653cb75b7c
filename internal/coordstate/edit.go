package coordstate

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// ClaimTime is how long a claim counts if what it is for does not come. It is
// measured by those who see it, so that no clock has to be right. Whoever claims
// writes the member within LatestWrite after.
const (
	ClaimTime   = time.Minute
	LatestWrite = 20 * time.Second
	inviteGrace = 3600 // s for which an expired invite is still known as one
)

// What an edit may end with.
var (
	ErrNoTailnet = errors.New("there is no such tailnet")
	ErrFull      = errors.New("the tailnet has no more room")
	ErrBusy      = errors.New("too much is under way in this tailnet")
)

// An Edit is a tailnet's record that is about to be written, with what is over taken
// out. It counts only during the function that it is given to.
type Edit struct {
	Record TailnetRecord
	s      *State
	t      *tailnet
	now    int64 // s
}

// Edit lets f change a tailnet's record, and returns the value to be written at its
// key, and the revision that is expected there. An error of f is returned as it is.
func (s *State) Edit(id string, now time.Time, f func(*Edit) error) (value []byte, expected uint64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tailnets[id]
	if t == nil || t.rec == nil {
		return nil, 0, ErrNoTailnet
	}
	e := &Edit{*t.rec, s, t, now.Unix()}
	e.Record.Gone = slices.Clone(t.rec.Gone)
	e.Record.Invites = slices.Clone(t.rec.Invites)
	e.prune()
	if err := f(e); err != nil {
		return nil, 0, err
	}
	value, err = json.Marshal(e.Record)
	return value, t.rev, err
}

// prune drops the claims that have come to pass or not, and invites that are over.
func (e *Edit) prune() {
	e.Record.Claims = slices.Clone(e.t.rec.Claims)
	e.Record.Claims = slices.DeleteFunc(e.Record.Claims, func(c Claim) bool {
		m := e.s.index.find(e.t, c.Key)
		if m != nil && m.name == c.Name && m.index == c.Index && m.disabled == c.Off {
			return true
		}
		if e.s.now()-e.t.claims[c] < int64(ClaimTime) {
			return false
		}
		e.giveBack(c, m)
		return true
	})
	e.Record.Invites = slices.DeleteFunc(e.Record.Invites, func(i Invite) bool { return i.Expires+inviteGrace < e.now })
}

// giveBack returns the use of an invite by who has not come.
func (e *Edit) giveBack(c Claim, m *member) {
	if i := e.Invite(c.Invite); i != nil && m == nil {
		i.Uses++
	}
}

// Invite is the one with the ID, which may be changed.
func (e *Edit) Invite(id string) *Invite {
	for i := range e.Record.Invites {
		if e.Record.Invites[i].ID == id && id != "" {
			return &e.Record.Invites[i]
		}
	}
	return nil
}

// Lingers is the revision of a record of somebody who is gone; it has to be deleted
// before the key can be a member again.
func (e *Edit) Lingers(k key.Public) (rev uint64, does bool) {
	l, ok := e.t.lingering[k]
	return l.rev, ok
}

// Member is what stands of a key.
func (e *Edit) Member(k key.Public) (Member, bool) {
	m := e.s.index.find(e.t, k)
	if m == nil {
		return Member{}, false
	}
	return e.s.describe(m), true
}

// Claimed is the claim that a key has, or nil.
func (e *Edit) Claimed(k key.Public) *Claim {
	for i := range e.Record.Claims {
		if e.Record.Claims[i].Key == k {
			return &e.Record.Claims[i]
		}
	}
	return nil
}

// Claim gives a key a name like the one that is wanted, and an address. It joins later
// than it had when it was removed, whatever the clock says.
func (e *Edit) Claim(c Claim, wanted string) (Claim, error) {
	if len(e.t.members)+len(e.Record.Claims) >= coordapi.MostMembers {
		return c, ErrFull
	}
	if len(e.Record.Claims) >= MostClaims {
		return c, ErrBusy
	}
	c.Name = Numbered(wanted, e.taken(wanted))
	c.Index = e.freeIndex(c.Index)
	for _, g := range e.Record.Gone {
		if g.Key == c.Key {
			c.Joined = max(c.Joined, g.Joined+1)
		}
	}
	e.Record.Claims = append(e.Record.Claims, c)
	return c, nil
}

// Change claims what a member's record is to say. The name may not be another's.
func (e *Edit) Change(m Member, name string, off bool) error {
	if len(e.Record.Claims) >= MostClaims {
		return ErrBusy
	}
	if name != m.Name && e.taken(name)(name) {
		return errTaken
	}
	e.Drop(m.Key)
	e.Record.Claims = append(e.Record.Claims, Claim{Key: m.Key, Name: name, Index: m.Index, Joined: m.Joined, Off: off})
	return nil
}

// Drop takes the claims of a key away.
func (e *Edit) Drop(k key.Public) {
	e.Record.Claims = slices.DeleteFunc(e.Record.Claims, func(c Claim) bool { return c.Key == k })
}

// Late reports whether a claim is too old to be written for.
func (e *Edit) Late(c Claim) bool { return e.s.now()-e.t.claims[c] > int64(LatestWrite) }

var errTaken = errors.New("another member has this name")

// IsTaken reports whether an error is that a name is taken.
func IsTaken(err error) bool { return errors.Is(err, errTaken) }

// taken tells for all names that begin as wanted does whether somebody has them.
func (e *Edit) taken(wanted string) func(string) bool {
	begin := strings.TrimRight(wanted[:min(len(wanted), coordapi.MostName-8)], "-")
	names := map[string]bool{}
	for _, m := range e.t.members {
		if strings.HasPrefix(m.name, begin) {
			names[m.name] = true
		}
	}
	for _, c := range e.Record.Claims {
		names[c.Name] = true
	}
	return func(name string) bool { return names[name] }
}

// freeIndex is the wanted index if it can be had, or the next one.
func (e *Edit) freeIndex(wanted uint32) uint32 {
	if Usable(wanted) && !e.has(wanted) {
		e.Record.Next = max(e.Record.Next, wanted+1)
		return wanted
	}
	for {
		index := e.Record.Next
		if e.Record.Next++; index > mostIndex {
			e.Record.Next = 1
		}
		if Usable(index) && !e.has(index) {
			return index
		}
	}
}

func (e *Edit) has(index uint32) bool {
	return slices.ContainsFunc(e.t.members, func(m *member) bool { return m.index == index }) ||
		slices.ContainsFunc(e.Record.Claims, func(c Claim) bool { return c.Index == index })
}

// Remove lists a member among the gone. If an older one has to make room whose record
// still stands, that is returned: it has to be deleted before.
func (e *Edit) Remove(m Member) (before *Leftover) {
	r := &e.Record
	e.Drop(m.Key)
	r.Gone = append(r.Gone, Gone{m.Key, m.Joined, e.t.rev})
	for len(r.Gone) > MostGone {
		if l, ok := e.t.lingering[r.Gone[0].Key]; ok {
			return &Leftover{bucketHard, MemberKey(e.t.id, r.Gone[0].Key), l.rev}
		}
		r.Floor = max(r.Floor, r.goneBy(0, e.t.rev))
		r.Gone = r.Gone[1:]
	}
	return nil
}

// AddInvite adds one, in the place of one that is over if there are many.
func (e *Edit) AddInvite(i Invite) error {
	if len(e.Record.Invites) >= MostInvites {
		e.Record.Invites = slices.DeleteFunc(e.Record.Invites, func(i Invite) bool { return i.Uses <= 0 || i.Expires <= e.now })
	}
	if len(e.Record.Invites) >= MostInvites {
		return ErrBusy
	}
	e.Record.Invites = append(e.Record.Invites, i)
	return nil
}

// Withdraw takes an invite away.
func (e *Edit) Withdraw(id string) {
	e.Record.Invites = slices.DeleteFunc(e.Record.Invites, func(i Invite) bool { return i.ID == id })
}

// WasRemoved reports whether a key is listed among the gone.
func (e *Edit) WasRemoved(k key.Public) bool {
	return slices.ContainsFunc(e.Record.Gone, func(g Gone) bool { return g.Key == k })
}
