package coord

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
)

const (
	aliveEvery = 20 * time.Second
	hereEvery  = 30 * time.Second
	tidyEvery  = 5 * time.Second
	leftFor    = 10 * time.Minute // before it is deleted by those who did not leave it
	mostLeft   = 1000             // deletes at once
)

// written is a record of this coordinator's own.
type written struct {
	bucket, key string
	value       []byte
	rev         uint64
}

// put writes a record if it differs from what was written before. Nobody else writes
// it, except to tidy up after one that seemed dead: then it is written anew.
func (s *Service) put(ctx context.Context, r *written, value []byte, always bool) error {
	if !always && bytes.Equal(value, r.value) {
		return nil
	}
	rev, err := uint64(0), error(nil)
	switch {
	case r.rev == 0 && len(value) == 0:
		return nil
	case r.rev == 0:
		rev, err = s.create(ctx, r.bucket, r.key, value)
	case len(value) == 0:
		_, err = s.store.Delete(ctx, r.bucket, r.key, r.rev)
	default:
		rev, err = s.update(ctx, r.bucket, r.key, value, r.rev)
	}
	if err == nil {
		r.value, r.rev = bytes.Clone(value), rev
	} else if errors.Is(err, coordstore.ErrConflict) {
		r.value, r.rev = nil, s.state.HereRevision(r.bucket, r.key)
	}
	return err
}

// showPresence writes that this coordinator lives, and who has a stream at it.
func (s *Service) showPresence(ctx context.Context) {
	alive := written{bucket: coordstore.Soft(0), key: coordstate.AliveKey(s.cfg.Name)}
	var here [coordstore.SoftBuckets]written
	for n := range here {
		here[n] = written{bucket: coordstore.Soft(n), key: coordstate.HereKey(s.cfg.Name)}
	}
	var shown time.Time
	for rest(ctx, time.Second) {
		if !s.state.Ready() {
			continue
		}
		if now := time.Now(); now.Sub(shown) >= aliveEvery {
			if s.put(ctx, &alive, []byte(now.UTC().Format(time.RFC3339)), true) == nil {
				shown = now
			}
		}
		if s.lastHere.IsZero() || time.Since(s.lastHere) >= hereEvery {
			s.lastHere = time.Now()
			s.showHere(ctx, &here)
		}
	}
	s.leaves = append(here[:], alive)
}

func (s *Service) showHere(ctx context.Context, here *[coordstore.SoftBuckets]written) {
	for n, set := range s.state.Here() {
		if ctx.Err() != nil {
			return
		}
		s.put(ctx, &here[n], set, false) // the next time, if not now
	}
}

// leave deletes what says that this coordinator lives.
func (s *Service) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, r := range s.leaves {
		if r.rev != 0 {
			s.store.Delete(ctx, r.bucket, r.key, r.rev) // otherwise another coordinator does it
		}
	}
}

// tidy frees memory, deletes what nobody needs, and writes where only a write can tell
// what stands.
func (s *Service) tidy(ctx context.Context) {
	var left map[coordstate.Leftover]struct{}
	looked, ticked := time.Now(), time.Time{}
	for rest(ctx, tidyEvery) {
		s.state.Tidy()
		load, doubt := s.state.InDoubt()
		if s.waits.Swap(false) && time.Since(ticked) > time.Minute || doubt {
			ticked = time.Now()
			if rev, err := s.tick(ctx); err == nil {
				s.state.Decide(load, rev)
			}
		}
		if time.Since(looked) >= leftFor && s.state.Ready() && len(s.state.Unheard()) == 0 {
			looked = time.Now()
			left = s.dropLeft(ctx, left)
		}
	}
}

// dropLeft deletes what was left the last time, too.
func (s *Service) dropLeft(ctx context.Context, before map[coordstate.Leftover]struct{}) map[coordstate.Leftover]struct{} {
	now := map[coordstate.Leftover]struct{}{}
	for _, l := range append(s.state.Lingering(mostLeft), s.state.DeadCoordinators(leftFor)...) {
		if _, ok := before[l]; !ok {
			now[l] = struct{}{}
		} else if s.drop(ctx, l) != nil {
			break
		}
	}
	return now
}

// tick is a change that means nothing.
func (s *Service) tick(ctx context.Context) (rev uint64, err error) {
	_, before := s.state.Single(coordstate.KeyTick)
	return s.write(ctx, coordstore.Hard, coordstate.KeyTick, []byte(time.Now().UTC().Format(time.RFC3339Nano)), before)
}
