package coord

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
)

func shown(t coordstate.Tailnet) coordapi.Tailnet {
	a := coordapi.Tailnet{ID: t.ID, Name: t.Record.Name, Created: time.Unix(t.Record.Created, 0).UTC(), Members: t.Members, Online: t.Online,
		Prefix4: coordstate.Prefix4.String(), Prefix6: t.Record.Prefix6().String()}
	for _, i := range t.Record.Invites {
		if i.Uses > 0 && i.Expires > time.Now().Unix() {
			a.Invites++
		}
	}
	return a
}

func (s *Service) adminTailnets(http.ResponseWriter, *http.Request) (any, error) {
	all := []coordapi.Tailnet{}
	for _, t := range s.state.Tailnets() {
		all = append(all, shown(t))
	}
	return all, nil
}

func (s *Service) adminTailnet(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	return shown(t), err
}

func (s *Service) adminCreate(w http.ResponseWriter, r *http.Request) (any, error) {
	n, err := body[coordapi.NewTailnet](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	return s.CreateTailnet(ctx, n.Name)
}

// CreateTailnet makes a tailnet that has no members.
func (s *Service) CreateTailnet(ctx context.Context, name string) (coordapi.Tailnet, error) {
	name, err := label("tailnet", name)
	if err != nil {
		return coordapi.Tailnet{}, err
	}
	id := strings.ToLower(rand.Text()[:13])
	if err := s.claimName(ctx, id, name); err != nil {
		return coordapi.Tailnet{}, err
	}
	var ula [5]byte
	rand.Read(ula[:])
	rec := coordstate.TailnetRecord{Name: name, Created: time.Now().Unix(), ULA: hex.EncodeToString(ula[:]), Next: 1}
	rev, err := s.create(ctx, coordstore.Hard, coordstate.TailnetKey(id), coordstate.Encode(rec))
	if err != nil {
		return coordapi.Tailnet{}, err
	}
	if err := s.state.Wait(ctx, coordstore.Hard, rev); err != nil {
		return coordapi.Tailnet{}, err
	}
	t, ok := s.state.Tailnet(id)
	if !ok {
		return coordapi.Tailnet{}, coordstate.ErrNoTailnet
	}
	return shown(t), nil
}

func (s *Service) adminRename(w http.ResponseWriter, r *http.Request) (any, error) {
	n, err := body[coordapi.Rename](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	name, err := label("tailnet", n.Name)
	if err != nil || name == t.Record.Name {
		return shown(t), err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	if err := s.claimName(ctx, t.ID, name); err != nil {
		return nil, err
	}
	if err := s.edit(ctx, t.ID, func(e *coordstate.Edit) error { e.Record.Name = name; return nil }); err != nil {
		return nil, err
	}
	t, _ = s.state.Tailnet(t.ID)
	return shown(t), nil
}

// adminDelete deletes the tailnet's record: with it nobody is a member. What else
// there was goes after it, here or when somebody tidies up.
func (s *Service) adminDelete(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	done, err := s.turn(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	defer done()
	return struct{}{}, s.persist(ctx, func() (uint64, error) {
		t, ok := s.state.Tailnet(t.ID)
		if !ok {
			return 0, nil // somebody else has
		}
		return s.counted(s.store.Delete(ctx, coordstore.Hard, coordstate.TailnetKey(t.ID), t.Revision))
	})
}
