package coord

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
)

func (s *Service) adminInvites(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	all := []coordapi.InviteState{}
	for _, i := range t.Record.Invites {
		if i.Uses == 0 || time.Now().Unix() > i.Expires { // kept, to say so to who comes with it
			continue
		}
		all = append(all, coordapi.InviteState{ID: i.ID, Uses: i.Uses, Expires: time.Unix(i.Expires, 0).UTC()})
	}
	return all, nil
}

func (s *Service) adminInvite(w http.ResponseWriter, r *http.Request) (any, error) {
	n, err := body[coordapi.NewInvite](w, r, coordapi.MostBody)
	if err != nil {
		return nil, err
	}
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	return s.Invite(ctx, t.ID, n)
}

const (
	usualInvite = 10 * time.Minute
	mostInvite  = 366 * 24 * time.Hour
	mostUses    = coordapi.MostMembers
)

// Invite makes an invite to a tailnet, by its ID.
func (s *Service) Invite(ctx context.Context, tailnet string, n coordapi.NewInvite) (coordapi.Invited, error) {
	if n.Uses == 0 {
		n.Uses = 1
	}
	if n.For == 0 {
		n.For = usualInvite
	}
	if n.Uses < 0 || n.Uses > mostUses || n.For < time.Second || n.For > mostInvite {
		return coordapi.Invited{}, refuse(coordapi.CodeBadRequest, "an invite counts 1 to %d times, for a second to a year", mostUses)
	}
	i := coordapi.Invite{Tailnet: tailnet}
	if s.cfg.Contacts != nil {
		i.Contacts = s.cfg.Contacts()
	}
	rand.Read(i.ID[:])
	rand.Read(i.Secret[:])
	text, err := i.Text()
	if err != nil {
		return coordapi.Invited{}, refuse(coordapi.CodeBadRequest, "this coordinator does not know how it is reached from elsewhere: %v", err)
	}
	sum := sha256.Sum256(i.Secret[:])
	rec := coordstate.Invite{ID: hex.EncodeToString(i.ID[:]), Hash: hex.EncodeToString(sum[:]), Uses: n.Uses, Expires: time.Now().Add(n.For).Unix()}
	if err := s.edit(ctx, tailnet, func(e *coordstate.Edit) error { return e.AddInvite(rec) }); err != nil {
		return coordapi.Invited{}, err
	}
	return coordapi.Invited{InviteState: coordapi.InviteState{ID: rec.ID, Uses: rec.Uses, Expires: time.Unix(rec.Expires, 0).UTC()}, Text: text}, nil
}

func (s *Service) adminWithdraw(_ http.ResponseWriter, r *http.Request) (any, error) {
	t, err := s.named(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := tryFor(r)
	defer cancel()
	return struct{}{}, s.edit(ctx, t.ID, func(e *coordstate.Edit) error {
		if e.Invite(r.PathValue("id")) == nil {
			return refuse(coordapi.CodeNotFound, "there is no invite %q", r.PathValue("id"))
		}
		e.Withdraw(r.PathValue("id"))
		return nil
	})
}
