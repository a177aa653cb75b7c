package coord

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

// adminMembers streams, as there may be many.
func (s *Service) adminMembers(w http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	to := json.NewEncoder(w)
	for _, m := range s.state.Members(t.ID) {
		if to.Encode(shownMember(m)) != nil {
			break
		}
	}
	return nil, nil
}

func shownMember(m coordstate.Member) coordapi.Member {
	a := coordapi.Member{Key: m.Key, Name: m.Name, Addresses: m.Addresses, Joined: time.Unix(m.Joined, 0).UTC(), Disabled: m.Disabled,
		Home: int(m.Soft.Home), Online: m.Online, Version: m.Soft.Version, Disco: m.Soft.Disco}
	if m.Soft.Home != 0 {
		a.HomeSince = time.Unix(m.Soft.Since, 0).UTC()
	}
	if m.Heard != 0 {
		a.Seen = time.Unix(m.Heard, 0).UTC()
	}
	if stored(m.Soft).Conflict {
		for _, text := range []string{m.Soft.From, m.Soft.Rival} {
			if addr, err := netip.ParseAddr(text); err == nil {
				a.Conflict = append(a.Conflict, addr)
			}
		}
	}
	return a
}

// find is a member by name or key.
func (s *Service) find(t coordstate.Tailnet, nameOrKey string) (coordstate.Member, error) {
	if k, err := key.ParsePublic(nameOrKey); err == nil {
		if m, ok := s.state.Find(t.ID, k); ok {
			return m, nil
		}
	}
	for _, m := range s.state.Members(t.ID) {
		if m.Name == strings.ToLower(nameOrKey) {
			return m, nil
		}
	}
	return coordstate.Member{}, refuse(coordapi.CodeNotFound, "tailnet %s has no member %q", t.Record.Name, nameOrKey)
}

func (s *Service) adminChange(w http.ResponseWriter, r *http.Request) (any, error) {
	c, err := body[coordapi.ChangeMember](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	t, m, err := s.namedMember(r)
	if err != nil {
		return nil, err
	}
	name, off := m.Name, m.Disabled
	if c.Name != "" {
		if name, err = label("member", c.Name); err != nil {
			return nil, err
		}
	}
	if c.Disabled != nil {
		off = *c.Disabled
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	m, err = s.change(ctx, t.ID, m.Key, name, off)
	return shownMember(m), err
}

func (s *Service) namedMember(r *http.Request) (coordstate.Tailnet, coordstate.Member, error) {
	t, err := s.named(r)
	if err != nil {
		return t, coordstate.Member{}, err
	}
	m, err := s.find(t, r.PathValue("m"))
	return t, m, err
}

// change claims, and then writes the member's record.
func (s *Service) change(ctx context.Context, tailnet string, k key.Public, name string, off bool) (coordstate.Member, error) {
	var m coordstate.Member
	err := s.edit(ctx, tailnet, func(e *coordstate.Edit) error {
		var ok bool
		if m, ok = e.Member(k); !ok {
			return refuse(coordapi.CodeNotFound, "it is no member any more")
		}
		if m.Name == name && m.Disabled == off {
			return errKnown
		}
		return e.Change(m, name, off)
	})
	switch {
	case errors.Is(err, errKnown):
		return m, nil
	case coordstate.IsTaken(err):
		return m, refuse(coordapi.CodeConflict, "another member is called %q", name)
	case err != nil:
		return m, err
	}
	rec := coordstate.MemberRecord{Name: name, Index: m.Index, Joined: m.Joined, Disabled: off}
	rev, err := s.update(ctx, coordstore.Hard, coordstate.MemberKey(tailnet, k), coordstate.Encode(rec), m.Revision)
	if err != nil {
		return m, err
	}
	if err := s.state.Wait(ctx, coordstore.Hard, rev); err != nil {
		return m, err
	}
	if now, ok := s.state.Find(tailnet, k); ok {
		m = now
	}
	return m, nil
}

func (s *Service) adminRemove(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, m, err := s.namedMember(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	return struct{}{}, s.remove(ctx, t.ID, m.Key)
}

// remove lists a member among the gone: that counts. Its records go after it, here or
// when somebody tidies up.
func (s *Service) remove(ctx context.Context, tailnet string, k key.Public) error {
	for {
		var before *coordstate.Leftover
		err := s.edit(ctx, tailnet, func(e *coordstate.Edit) error {
			m, ok := e.Member(k)
			if !ok {
				return refuse(coordapi.CodeNotFound, "it is no member any more")
			}
			if before = e.Remove(m); before != nil {
				return errLingers
			}
			return nil
		})
		switch {
		case errors.Is(err, errLingers):
			if err := s.drop(ctx, *before); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		for _, l := range s.state.LeftBy(tailnet, k) {
			if s.drop(ctx, l) != nil {
				break
			}
		}
		return nil
	}
}
