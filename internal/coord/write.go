package coord

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
)

// edit writes a tailnet's record, and returns when the write has been seen. What f
// returns ends it.
func (s *Service) edit(ctx context.Context, tailnet string, f func(*coordstate.Edit) error) error {
	done, err := s.turn(ctx, tailnet)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := begun(ctx)
	defer cancel()
	return s.persist(ctx, func() (uint64, error) {
		value, expected, err := s.state.Edit(tailnet, time.Now(), f)
		if err != nil {
			return 0, err
		}
		return s.update(ctx, coordstore.Hard, coordstate.TailnetKey(tailnet), value, expected)
	})
}

// persist writes to the hard bucket until nobody was faster, and returns when the write
// has been seen. Each time, write goes by what stands; 0 is that nothing is to be done.
func (s *Service) persist(ctx context.Context, write func() (revision uint64, err error)) error {
	for {
		before := s.state.Position(coordstore.Hard)
		rev, err := write()
		if err == nil {
			return s.state.Wait(ctx, coordstore.Hard, rev)
		}
		if !errors.Is(err, coordstore.ErrConflict) {
			return err
		}
		if err := s.state.Wait(ctx, coordstore.Hard, before+1); err != nil {
			return err
		}
	}
}

// begun is for what is brought to its end although who has asked goes away: claims
// that nobody comes for would be in the way of all others of the tailnet for a minute.
func begun(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		end = time.Now().Add(tryTime)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), end)
}

// turn lets one after the other change a tailnet: more at once would only conflict.
func (s *Service) turn(ctx context.Context, tailnet string) (done func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(tailnet))
	turn := s.turns[h.Sum32()%uint32(len(s.turns))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// create, update and drop write within writeTime.
func (s *Service) create(ctx context.Context, bucket, k string, value []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	return s.counted(s.store.Create(ctx, bucket, k, value))
}

func (s *Service) update(ctx context.Context, bucket, k string, value []byte, expected uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	return s.counted(s.store.Update(ctx, bucket, k, value, expected))
}

// write creates what has no revision yet, and updates what has one.
func (s *Service) write(ctx context.Context, bucket, k string, value []byte, expected uint64) (uint64, error) {
	if expected == 0 {
		return s.create(ctx, bucket, k, value)
	}
	return s.update(ctx, bucket, k, value, expected)
}

// drop deletes what nobody needs, and waits until that is seen. If it has changed, it
// waits for that: whoever needs it gone looks again.
func (s *Service) drop(ctx context.Context, l coordstate.Leftover) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	before := s.state.Position(l.Bucket)
	rev, err := s.counted(s.store.Delete(ctx, l.Bucket, l.Key, l.Revision))
	if errors.Is(err, coordstore.ErrConflict) {
		s.state.ForgetReport(l)
		return s.state.Wait(ctx, l.Bucket, before+1)
	}
	if err != nil {
		return err
	}
	return s.state.Wait(ctx, l.Bucket, rev)
}

func (s *Service) counted(rev uint64, err error) (uint64, error) {
	s.counts.writes.Add(1)
	if err != nil {
		s.counts.failed.Add(1)
	}
	return rev, err
}
