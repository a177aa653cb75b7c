package coord

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
)

func (s *Service) adminRelays(http.ResponseWriter, *http.Request) (any, error) {
	all := []coordapi.Relay{}
	for _, r := range s.state.Relays() {
		all = append(all, s.shownRelay(r.Name, r.Record))
	}
	return all, nil
}

func (s *Service) shownRelay(name string, rec coordstate.RelayRecord) coordapi.Relay {
	a := coordapi.Relay{Name: name, Created: time.Unix(rec.Created, 0).UTC()}
	for _, id := range rec.Tailnets {
		if called := s.state.TailnetName(id); called != "" {
			id = called
		}
		a.Tailnets = append(a.Tailnets, id)
	}
	return a
}

func (s *Service) adminAddRelay(w http.ResponseWriter, r *http.Request) (any, error) {
	n, err := body[coordapi.NewRelay](w, r, derpmap.MaxSize)
	if err != nil {
		return nil, err
	}
	name, err := label("relay", n.Name)
	if err != nil {
		return nil, err
	}
	rec := coordstate.RelayRecord{Created: time.Now().Unix()}
	for _, called := range n.Tailnets {
		t, ok := s.state.Tailnet(called)
		if !ok {
			return nil, refuse(coordapi.CodeNotFound, "there is no tailnet %q", called)
		}
		rec.Tailnets = append(rec.Tailnets, t.ID)
	}
	token := "detour-relay-" + strings.ToLower(rand.Text())
	sum := sha256.Sum256([]byte(token))
	rec.Hash = hex.EncodeToString(sum[:])
	ctx, cancel := tryFor(r)
	defer cancel()
	rev, err := s.create(ctx, coordstore.Hard, coordstate.RelayKey(name), coordstate.Encode(rec))
	if errors.Is(err, coordstore.ErrConflict) {
		return nil, refuse(coordapi.CodeConflict, "there is a relay called %q already", name)
	}
	if err != nil {
		return nil, err
	}
	return coordapi.AddedRelay{Relay: s.shownRelay(name, rec), Token: token}, s.state.Wait(ctx, coordstore.Hard, rev)
}

func (s *Service) adminRemoveRelay(_ http.ResponseWriter, r *http.Request) (any, error) {
	for _, have := range s.state.Relays() {
		if have.Name != r.PathValue("relay") {
			continue
		}
		ctx, cancel := tryFor(r)
		defer cancel()
		rev, err := s.counted(s.store.Delete(ctx, coordstore.Hard, coordstate.RelayKey(have.Name), have.Revision))
		if err != nil {
			return nil, err
		}
		return struct{}{}, s.state.Wait(ctx, coordstore.Hard, rev)
	}
	return nil, refuse(coordapi.CodeNotFound, "there is no relay %q", r.PathValue("relay"))
}
