package coordnats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/detour-relay/detour/internal/coordstore"
)

// A server whose disk has refused a write, for want of room or for a fault, writes
// nothing any more until it is started anew, whatever happens to the disk. So ours is,
// once the disk takes something again.
const (
	leastRoom  = 4 << 20
	reviveEach = 5 * time.Second // at most
)

// refused tells of what the engine says whether it is that a write has failed for good.
// Nothing else tells: a server answers nothing to such a write.
func refused(format string) bool {
	return strings.Contains(format, "ritical write error") || strings.Contains(format, "will be DISABLED") || strings.Contains(format, "disabling JetStream")
}

// A refusal is why a server writes nothing any more.
type refusal struct {
	error
	since time.Time
}

// noteRefused is called by the server.
func (e *embedded) noteRefused(text string) {
	e.broken.CompareAndSwap(nil, &refusal{fmt.Errorf("the disk has refused a write: %s", text), time.Now()})
}

// stuck says why our engine writes nothing until it is started anew. One of several
// goes on by the others meanwhile, for those who ask it.
func (s *Store) stuck() *refusal {
	if s.engine == nil {
		return nil
	}
	return s.engine.broken.Load()
}

// alone reports whether there are no other servers.
func (s *Store) alone() bool { return s.engine != nil && s.config.Cluster == nil }

// revive starts our engine anew if that is what it needs and the disk has room.
func (s *Store) revive() {
	stuck := s.stuck()
	if stuck == nil || time.Since(s.revived) < reviveEach {
		return
	}
	if err := s.engine.dir.hasRoom(); err != nil {
		s.config.Logger.Error("the engine cannot write: make room, and it goes on by itself", "reason", err)
		s.revived = time.Now()
		return
	}
	s.config.Logger.Warn("the engine could not write, and is started anew", "reason", stuck)
	err := s.engine.restart(s.ctx, s.config)
	s.revived = time.Now()
	if err != nil {
		s.config.Logger.Error("the engine did not start again, it is tried once more", "reason", err)
		return
	}
	s.ends.Store(int64(s.engine.dir.ends))
}

// hasRoom reports why nothing can be written to the directory.
func (d *directory) hasRoom() error {
	path := filepath.Join(d.path, "probe")
	defer os.Remove(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, leastRoom))
	return errors.Join(err, f.Sync(), f.Close())
}

// restart starts another server in the place of one that is stuck. What that had not
// written out is lost from the buckets that are not synced, as with a kill.
func (e *embedded) restart(ctx context.Context, c Config) error {
	e.reach("")
	e.server.Shutdown()
	e.server.WaitForShutdown()
	if err := e.dir.age(); err != nil {
		return err
	}
	was := e.broken.Swap(nil)
	err := e.start(ctx, c)
	if err != nil {
		e.broken.CompareAndSwap(nil, was)
	}
	return err
}

// damaged does not pass.
type damaged struct{ error }

// errLostBucket is for a directory that is damaged: an empty bucket in the place of the
// one that was there would tell all members that they are none any more.
func (s *Store) errLostBucket(err error, bucket string) error {
	if !s.alone() || bucket != coordstore.Hard || !s.engine.dir.used || !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return fmt.Errorf("%s is damaged: the engine does not find who is a member any more; bring back a copy of it, or begin with an empty directory and import an export", s.config.Dir)
}
