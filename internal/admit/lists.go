package admit

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
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

// EntriesOf ranges over the entries of one key, in the order of Entries.
func (c *Chain) EntriesOf(k key.Public) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		r := c.rules.Load()
		if !r.book.entriesOf(k, yield) {
			return
		}
		for _, f := range r.files {
			if l, here := f.set.find(k); here && !yield(f.set.entry(l, f.path)) {
				return
			}
		}
	}
}

// BanOf returns the ban of a key, if it has one that has not ended.
func (c *Chain) BanOf(k key.Public) (b Ban, banned bool) {
	b, banned = c.rules.Load().book.bans[k]
	return b, banned && !b.ended(time.Now())
}

// Bans are all that have not ended.
func (c *Chain) Bans() []Ban {
	now := time.Now()
	return slices.DeleteFunc(c.rules.Load().book.sortedBans(), func(b Ban) bool { return b.ended(now) })
}

// An Edit is one change of the book: [Allowing], [Removing], [Banning] or [Unbanning].
type Edit struct {
	source string
	key    key.Public
	in     func(c *Chain, b *book, now time.Time) error
}

// Edit makes all changes at once, for each writes the whole book. What is wrong with
// one is at its place in the result, and does not keep the others from being made.
// Who is banned has no connection any more when it returns.
func (c *Chain) Edit(edits ...Edit) []error {
	errs := make([]error, len(edits))
	if len(edits) == 0 {
		return errs
	}
	source, done := edits[0].source, make(map[key.Public]bool, len(edits))
	err := c.change(source, func(b *book) error {
		now := time.Now()
		for i, e := range edits {
			if errs[i] = e.in(c, b, now); errs[i] == nil {
				done[e.key] = true
			}
		}
		if len(done) == 0 {
			return errs[0]
		}
		return nil
	})
	if err != nil {
		for i := range errs {
			errs[i] = cmp.Or(errs[i], err)
		}
		return errs
	}
	if source == SourceBan {
		bans := c.rules.Load().book.bans
		c.close(func(p relay.PeerState) bool {
			_, banned := bans[p.Peer]
			return banned && done[p.Peer] && !p.Sibling
		}, relay.ErrBanned, SourceBan)
	}
	return errs
}

// Allow, Remove, Ban and Unban make one change.
func (c *Chain) Allow(e Entry) error       { return c.Edit(Allowing(e))[0] }
func (c *Chain) Remove(k key.Public) error { return c.Edit(Removing(k))[0] }
func (c *Chain) Ban(b Ban) error           { return c.Edit(Banning(b))[0] }
func (c *Chain) Unban(k key.Public) error  { return c.Edit(Unbanning(k))[0] }

// Allowing lets a key in, or changes what another one before has said of it.
func Allowing(e Entry) Edit {
	e.From = ""
	return Edit{SourceManaged, e.Key, func(_ *Chain, b *book, now time.Time) error {
		if err := e.check(); err != nil {
			return err
		}
		if e.ended(now) {
			return fmt.Errorf("the entry would have ended already, at %s: give a time to come", e.Until.UTC().Format(time.RFC3339))
		}
		if ban, banned := b.bans[e.Key]; banned && !ban.ended(now) {
			return fmt.Errorf("%s is banned%s: unban it first", e.Key.Short(), banText(ban))
		}
		b.allow[e.Key] = e
		return nil
	}}
}

// Removing takes a key out of the book, whether it was allowed or imported. It is
// ErrNotListed if it is not there.
func Removing(k key.Public) Edit {
	return Edit{SourceManaged, k, func(c *Chain, b *book, _ time.Time) error {
		_, found := b.allow[k]
		delete(b.allow, k)
		for name, set := range b.sets {
			if _, here := set[k]; here {
				found = true
				delete(b.own(name), k)
			}
		}
		if !found {
			return c.notListed(k)
		}
		return nil
	}}
}

func (c *Chain) notListed(k key.Public) error {
	for _, f := range c.rules.Load().files {
		if l, here := f.set.find(k); here {
			return fmt.Errorf("%w: %s stands in %s, line %d: remove it there, or ban it", ErrNotListed, k.Short(), f.path, l.line)
		}
	}
	return fmt.Errorf("%w: %s was neither allowed nor imported; ban it to keep it out whatever lets it in", ErrNotListed, k.Short())
}

// Banning keeps a key out from now on. A zero Since is now.
func Banning(b Ban) Edit {
	return Edit{SourceBan, b.Key, func(_ *Chain, book *book, now time.Time) error {
		if b.Since.IsZero() {
			b.Since = now.UTC().Truncate(time.Second)
		}
		if err := b.check(); err != nil {
			return err
		}
		if b.ended(now) {
			return fmt.Errorf("the ban would have ended already, at %s: give a time to come", b.Until.UTC().Format(time.RFC3339))
		}
		book.bans[b.Key] = b
		return nil
	}}
}

// Unbanning ends a ban. It is ErrNotListed if there is none.
func Unbanning(k key.Public) Edit {
	return Edit{SourceBan, k, func(_ *Chain, b *book, now time.Time) error {
		ban, found := b.bans[k]
		if !found || ban.ended(now) {
			return fmt.Errorf("%w: %s is not banned", ErrNotListed, k.Short())
		}
		delete(b.bans, k)
		return nil
	}}
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

// Preview is what an import would change, and how many keys the set has.
func (c *Chain) Preview(set string, entries []Entry) (would Imported, before int) {
	next := make(map[key.Public]Entry, len(entries))
	for _, e := range entries {
		next[e.Key] = e
	}
	now := c.rules.Load().book.sets[set]
	return compare(now, next, FromImport+set), len(now)
}

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
	c.keep(source, now, next)
	c.revoking.sweep(source)
	return nil
}

// keep has the same rules decide with another book.
func (c *Chain) keep(source string, now *rules, book *book) {
	next := *now
	next.book, next.changed = book, change{source, time.Now()}
	c.rules.Store(&next)
}
