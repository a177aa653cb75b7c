package admit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// Errors of those who change the book, to be told apart with errors.Is.
var (
	// ErrNotListed: there is nothing to be removed or unbanned.
	ErrNotListed = errors.New("the key is not there")
	// ErrEmptyImport: an import without keys, which would take out all that came by the
	// one before. See [Chain.Clear].
	ErrEmptyImport = errors.New("the import has no keys")
)

// Entries ranges over all entries: the book's first, then those of the files.
func (c *Chain) Entries(yield func(Entry) bool) {
	r := c.rules.Load()
	if !r.book.entries(yield) {
		return
	}
	for _, f := range r.files {
		for e := range f.set.all(f.path) {
			if !yield(e) {
				return
			}
		}
	}
}

// Bans are all that have not ended.
func (c *Chain) Bans() []Ban {
	now := time.Now()
	return slices.DeleteFunc(c.rules.Load().book.sortedBans(), func(b Ban) bool { return b.ended(now) })
}

// Allow lets a key in, or changes what an Allow before has said of it.
func (c *Chain) Allow(e Entry) error {
	e.From = ""
	if err := e.check(); err != nil {
		return err
	}
	now := time.Now()
	if e.ended(now) {
		return fmt.Errorf("the entry would have ended already, at %s: give a time to come", e.Until.UTC().Format(time.RFC3339))
	}
	return c.change(SourceManaged, func(b *book) error {
		if ban, banned := b.bans[e.Key]; banned && !ban.ended(now) {
			return fmt.Errorf("%s is banned%s: unban it first", e.Key.Short(), banText(ban))
		}
		b.allow[e.Key] = e
		return nil
	})
}

// Remove takes a key out of the book, whether it was allowed or imported. It is
// ErrNotListed if it is not there.
func (c *Chain) Remove(k key.Public) error {
	return c.change(SourceManaged, func(b *book) error {
		_, found := b.allow[k]
		delete(b.allow, k)
		for name, set := range b.sets {
			if _, here := set[k]; here {
				found = true
				b.sets[name] = maps.Clone(set)
				delete(b.sets[name], k)
			}
		}
		if !found {
			return c.notListed(k)
		}
		return nil
	})
}

func (c *Chain) notListed(k key.Public) error {
	for _, f := range c.rules.Load().files {
		if l, here := f.set.find(k); here {
			return fmt.Errorf("%w: %s stands in %s, line %d: remove it there, or ban it", ErrNotListed, k.Short(), f.path, l.line)
		}
	}
	return fmt.Errorf("%w: %s was neither allowed nor imported; ban it to keep it out whatever lets it in", ErrNotListed, k.Short())
}

// Ban keeps a key out from now on, and closes its connections before it returns. A
// zero Since is now.
func (c *Chain) Ban(b Ban) error {
	now := time.Now()
	if b.Since.IsZero() {
		b.Since = now.UTC().Truncate(time.Second)
	}
	if err := b.check(); err != nil {
		return err
	}
	if b.ended(now) {
		return fmt.Errorf("the ban would have ended already, at %s: give a time to come", b.Until.UTC().Format(time.RFC3339))
	}
	err := c.change(SourceBan, func(book *book) error {
		book.bans[b.Key] = b
		return nil
	})
	if err == nil {
		c.close(func(p relay.PeerState) bool { return p.Peer == b.Key && !p.Sibling }, relay.ErrBanned, SourceBan)
	}
	return err
}

// Unban ends a ban. It is ErrNotListed if there is none.
func (c *Chain) Unban(k key.Public) error {
	return c.change(SourceBan, func(b *book) error {
		ban, found := b.bans[k]
		if !found || ban.ended(time.Now()) {
			return fmt.Errorf("%w: %s is not banned", ErrNotListed, k.Short())
		}
		delete(b.bans, k)
		return nil
	})
}

// Imported says what an import has changed.
type Imported struct {
	Came, Went []Entry
	Changed    []Entry // their label, end or name is another one
	Same       int
}

// Import replaces what the set of this name had before. Without entries it is
// ErrEmptyImport, for a broken pipe must lock nobody out.
func (c *Chain) Import(set string, entries []Entry) (Imported, error) {
	if len(entries) == 0 {
		return Imported{}, fmt.Errorf("%w: nothing was changed; force it, to take out all of %q", ErrEmptyImport, set)
	}
	return c.replace(set, entries)
}

// Clear takes out all that the set of this name has.
func (c *Chain) Clear(set string) (Imported, error) { return c.replace(set, nil) }

func (c *Chain) replace(set string, entries []Entry) (done Imported, err error) {
	if err := checkSet(set); err != nil {
		return done, err
	}
	next := make(map[key.Public]Entry, len(entries))
	for _, e := range entries {
		e.From = ""
		if err := e.check(); err != nil {
			return done, fmt.Errorf("%s: %w", e.Key.Short(), err)
		}
		next[e.Key] = e
	}
	err = c.change(SourceManaged, func(b *book) error {
		done = compare(b.sets[set], next, FromImport+set)
		if b.sets[set] = next; len(next) == 0 {
			delete(b.sets, set)
		}
		return nil
	})
	if err != nil {
		return Imported{}, err
	}
	return done, nil
}

func compare(before, next map[key.Public]Entry, from string) (done Imported) {
	for _, e := range sortedEntries(next) {
		old, here := before[e.Key]
		same := here && old.Label == e.Label && old.Name == e.Name && old.Until.Equal(e.Until)
		e.From = from
		switch {
		case !here:
			done.Came = append(done.Came, e)
		case same:
			done.Same++
		default:
			done.Changed = append(done.Changed, e)
		}
	}
	for _, e := range sortedEntries(before) {
		if _, stays := next[e.Key]; !stays {
			e.From = from
			done.Went = append(done.Went, e)
		}
	}
	return done
}

// change makes another book, which decides once it is on disk. What cannot be kept
// there changes nothing.
func (c *Chain) change(source string, edit func(*book) error) error {
	c.changing.Lock()
	defer c.changing.Unlock()
	now := c.rules.Load()
	current := now.book
	if c.shelf.path != "" && c.shelf.ahead() { // by hand, or by the process that takes over
		var err error
		if current, err = c.shelf.load(); err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
	}
	next := current.clone()
	if err := edit(next); err != nil {
		return err
	}
	next.forget(time.Now())
	if err := c.shelf.save(next); err != nil {
		c.counts.failed(SourceManaged)
		return fmt.Errorf("nothing was changed, for the list cannot be kept: %w", err)
	}
	c.keep(now, next)
	c.revoking.sweep(source)
	return nil
}

// keep has the same rules decide with another book.
func (c *Chain) keep(now *rules, book *book) {
	next := *now
	next.book = book
	c.rules.Store(&next)
}
