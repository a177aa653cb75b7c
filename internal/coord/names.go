package coord

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
)

// nameClaims remembers since when claims of names have been seen here.
type nameClaims struct {
	mu   sync.Mutex
	seen map[coordstate.NameClaim]time.Time
}

// late reports whether a claim has been there for so long that nobody comes for it.
func (n *nameClaims) late(c coordstate.NameClaim) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil || len(n.seen) > 4*mostNameClaims {
		n.seen = map[coordstate.NameClaim]time.Time{}
	}
	at, ok := n.seen[c]
	if !ok {
		n.seen[c] = time.Now()
	}
	return ok && time.Since(at) > coordstate.ClaimTime
}

// mostNameClaims is how many names that nobody has come for are remembered.
const mostNameClaims = 256

// claimName makes sure that no other tailnet gets the name: as for members, whoever
// has seen the record of the names has seen all that were given before.
func (s *Service) claimName(ctx context.Context, id, name string) error {
	return s.claimNames(ctx, []coordstate.NameClaim{{ID: id, Name: name}})
}

func (s *Service) claimNames(ctx context.Context, wanted []coordstate.NameClaim) error {
	done, err := s.turn(ctx, coordstate.KeyNames)
	if err != nil {
		return err
	}
	defer done()
	return s.persist(ctx, func() (uint64, error) {
		value, rev, err := s.namesWith(wanted)
		if err != nil {
			return 0, err
		}
		return s.write(ctx, coordstore.Hard, coordstate.KeyNames, value, rev)
	})
}

// namesWith is the record of the names with more claims, and without those that have
// come to pass. Its revision is that which stands.
func (s *Service) namesWith(wanted []coordstate.NameClaim) (value []byte, rev uint64, err error) {
	stands, rev := s.state.Single(coordstate.KeyNames)
	var rec coordstate.NamesRecord
	if stands != nil && json.Unmarshal(stands, &rec) != nil {
		return nil, 0, errors.New("the record of the tailnets' names cannot be read")
	}
	rec.Claims = slices.DeleteFunc(rec.Claims, func(c coordstate.NameClaim) bool {
		t, ok := s.state.Tailnet(c.ID)
		return ok && t.Record.Name == c.Name
	})
	for _, w := range wanted {
		if s.state.NameTaken(w.Name) {
			return nil, 0, refuse(coordapi.CodeConflict, "there is a tailnet called %q already", w.Name)
		}
		for _, c := range rec.Claims {
			if c.Name == w.Name && !s.nameClaims.late(c) {
				return nil, 0, later(coordapi.CodeUnavailable, "another tailnet is about to be called %q: try again in a minute", w.Name)
			}
		}
	}
	rec.Claims = append(rec.Claims, wanted...)
	if n := len(rec.Claims) - mostNameClaims; n > 0 {
		rec.Claims = rec.Claims[n:]
	}
	return coordstate.Encode(rec), rev, nil
}
