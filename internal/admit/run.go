package admit

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/internal/vouch"
	"github.com/detour-relay/detour/relay"
)

const (
	// lookAt is how often files are looked at.
	lookAt = time.Second

	// probe is how often a source is asked that is away, and checkTimeout how long what
	// it says of itself may take.
	probe        = 10 * time.Second
	checkTimeout = 5 * time.Second
)

// Run looks after files, sources and the connected until ctx is done; then it ends
// all questions and writes down who is known. It is to be called once.
func (c *Chain) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { c.tendUntil(ctx) })
	running.Go(func() {
		for ok := true; ok; ok = retry.Rest(ctx, lookAt, nil) {
			c.lookAtFiles()
		}
	})
	running.Go(func() {
		for ok := true; ok; ok = retry.Rest(ctx, retry.Jitter(probe), nil) {
			c.probe(ctx)
		}
	})
	running.Go(func() {
		for retry.Rest(ctx, lookAt, nil) {
			if now := time.Now(); c.memory.due(now) {
				c.saveMemory(now)
			}
		}
	})
	running.Go(func() { c.listen(ctx) })
	running.Wait()
	c.questions.close()
	closeSources(c.rules.Load().sources)
	c.saveMemory(time.Now())
}

func (c *Chain) saveMemory(now time.Time) {
	err := c.memory.save(now)
	if err != nil {
		c.counts.failed(SourceGrace)
	}
	if c.troubles.note(seenName, err) {
		c.log.Warn("who is known cannot be written down, and would be forgotten by a restart", "reason", err)
	}
}

// Update has another Access decide from now on; nothing else of a Config can change.
// Who is not admitted by it is closed. An error changes nothing.
func (c *Chain) Update(cfg Config) error {
	apply, err := c.Prepare(cfg)
	if err == nil {
		apply()
	}
	return err
}

// Prepare is Update in two parts: what can go wrong, and what takes effect.
func (c *Chain) Prepare(cfg Config) (apply func(), err error) {
	next, err := open(cfg.Access, c.rules.Load(), c.log)
	if err != nil {
		return nil, err
	}
	return func() {
		c.changing.Lock()
		defer c.changing.Unlock()
		before := c.rules.Load()
		next.book = before.book
		next.inherit(before)
		c.askFirst(next, time.Now())
		c.install(next)
		c.troubles.clear()
		closeSources(before.sources)
		c.revoking.sweep("")
	}, nil
}

// lookAtFiles reads what has changed. A large file takes its time, in which others may
// change the book.
func (c *Chain) lookAtFiles() {
	for _, w := range c.changedFiles() {
		f, err := openKeyFile(w.path, c.log)
		c.replaceFile(w.path, f, err)
	}
	c.lookAtBook()
}

func (c *Chain) changedFiles() (all []*watched) {
	c.changing.Lock()
	defer c.changing.Unlock()
	for _, w := range c.watched {
		changed, err := w.changed()
		if err != nil {
			c.tellFile(w.path, SourceKeys, err)
		} else if changed {
			all = append(all, w)
		}
	}
	return all
}

// replaceFile has what a file says now decide, unless an Update has left it out.
func (c *Chain) replaceFile(path string, f *keyFile, err error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	next := *c.rules.Load()
	i := slices.IndexFunc(next.files, func(old *keyFile) bool { return old.path == path })
	if i < 0 {
		return
	}
	if err == nil {
		err = f.emptied(next.files[i])
	}
	c.tellFile(path, SourceKeys, err)
	if err != nil {
		return
	}
	next.files = slices.Clone(next.files)
	next.files[i] = f
	next.changed = change{SourceKeys, time.Now()}
	c.rules.Store(&next)
	c.log.Info("a list of keys was read again", "file", path, "keys", len(f.set.entries))
	c.revoking.sweep(SourceKeys)
}

// lookAtBook reads the book if somebody else has written it.
func (c *Chain) lookAtBook() {
	c.changing.Lock()
	defer c.changing.Unlock()
	anew := c.shelf.anew()
	changed, err := c.shelf.changed()
	if (changed || anew) && err == nil {
		var b *book
		if b, err = c.shelf.load(); err == nil {
			c.keep(SourceManaged, c.rules.Load(), b)
			c.revoking.sweep(SourceManaged)
		} else if !changed {
			c.shelf.watched.read = stamp{} // somebody is in the middle of it: the next look tells
			return
		}
	}
	if changed || err != nil {
		c.tellFile(c.shelf.path, SourceManaged, err)
	}
}

func (c *Chain) tellFile(path, source string, err error) {
	if err != nil {
		c.counts.failed(source)
	}
	if c.troubles.note(path, err) && err != nil {
		c.log.Error("a list of access cannot be read: what it said before stays in force", "file", path, "reason", err)
	}
}

// probe looks after sources that are away, and at the start after all that can be
// looked at without a key.
func (c *Chain) probe(ctx context.Context) {
	r := c.rules.Load()
	var running sync.WaitGroup
	defer running.Wait()
	for _, s := range r.sources {
		if s.kind == SourceTailscaled {
			running.Go(func() { c.checkSource(ctx, s) })
		} else if s.reason() != nil {
			c.askAnybody(r)
		}
	}
}

func (c *Chain) checkSource(ctx context.Context, s *source) {
	within, cancel := context.WithTimeoutCause(ctx, checkTimeout, vouch.ErrSlow)
	defer cancel()
	err := s.Check(within)
	if ctx.Err() == nil {
		c.tell(s, s.noteCheck(err, time.Now()), err)
	}
}

// askAnybody asks about some known key, to hear whether the source is back.
func (c *Chain) askAnybody(r *rules) {
	k, seen, ok := c.memory.any()
	if !ok {
		return
	}
	c.askAbout(r, &relay.PeerState{Peer: k}, seen, time.Now())
}

// troubles are what is wrong with files, told once.
type troubles struct {
	mu  sync.Mutex
	all map[string]string // guarded by mu
}

// note reports whether to tell: what is wrong now was not, or something else was.
func (t *troubles) note(path string, err error) (tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.all, path)
		return false
	}
	if t.all == nil {
		t.all = map[string]string{}
	}
	if t.all[path] == err.Error() {
		return false
	}
	t.all[path] = err.Error()
	return true
}

func (t *troubles) of(path string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[path]
}

func (t *troubles) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.all)
}
