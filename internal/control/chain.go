package control

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/key"
)

// OfChain is the access that a chain decides about.
func OfChain(c *admit.Chain) Access { return chain{c} }

type chain struct{ *admit.Chain }

// Lines has one line for each entry, and one for each ban in place of its entries.
func (c chain) Lines(only []key.Public) iter.Seq[Line] {
	if only == nil {
		return c.all
	}
	return func(yield func(Line) bool) {
		now := time.Now()
		for _, k := range only {
			for line := range c.linesOf(k, now) {
				if !yield(line) {
					return
				}
			}
		}
	}
}

func (c chain) all(yield func(Line) bool) {
	now := time.Now()
	banned := make(map[key.Public]*Line)
	bans := c.Bans()
	for _, b := range bans {
		banned[b.Key] = banLine(b)
	}
	for e := range c.Entries {
		if ban := banned[e.Key]; ban != nil {
			ban.takeFrom(e)
			continue
		}
		if !yield(lineOf(e, now)) {
			return
		}
	}
	for _, b := range bans {
		if !yield(*banned[b.Key]) {
			return
		}
	}
}

// linesOf are those of one key, which is looked up.
func (c chain) linesOf(k key.Public, now time.Time) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		b, banned := c.BanOf(k)
		ban := banLine(b)
		for e := range c.EntriesOf(k) {
			if banned {
				ban.takeFrom(e)
			} else if !yield(lineOf(e, now)) {
				return
			}
		}
		if banned {
			yield(*ban)
		}
	}
}

func banLine(b admit.Ban) *Line {
	return &Line{Key: b.Key, State: Banned, Since: b.Since, Until: b.Until, Why: b.Why}
}

// takeFrom has a ban say what the first entry of its key says.
func (l *Line) takeFrom(e admit.Entry) {
	if l.From == "" {
		l.Label, l.Name, l.From = e.Label, e.Name, e.From
	}
}

func lineOf(e admit.Entry, now time.Time) Line {
	state := Allowed
	if !e.Until.IsZero() && !now.Before(e.Until) {
		state = Expired
	}
	return Line{Key: e.Key, State: state, Label: e.Label, Name: e.Name, From: e.From, Until: e.Until}
}

func (c chain) Do(order string, keys []key.Public, until time.Time, o Order) []error {
	edits := make([]admit.Edit, len(keys))
	for i, k := range keys {
		switch order {
		case Allow:
			edits[i] = admit.Allowing(admit.Entry{Key: k, Label: o.Label, Until: until})
		case Remove:
			edits[i] = admit.Removing(k)
		case Ban:
			edits[i] = admit.Banning(admit.Ban{Key: k, Until: until, Why: o.Why})
		case Unban:
			edits[i] = admit.Unbanning(k)
		default:
			return slices.Repeat([]error{fmt.Errorf("there is no order %q", order)}, len(keys))
		}
	}
	return c.Edit(edits...)
}

// mostLost is the part of a set that an import may take out without force, one of so
// many: what was cut off on its way looks like a short list. Small sets change as they
// like.
const (
	mostLost = 2
	smallSet = 10
)

func (c chain) Import(order ImportOrder, entries []Entry) (done Imported, err error) {
	given := make([]admit.Entry, len(entries))
	for i, e := range entries {
		given[i] = admit.Entry{Key: e.Key, Label: e.Label, Name: e.Name, Until: e.Until}
	}
	would, before := c.Preview(order.Set, given)
	switch lost := len(would.Went); {
	case order.Force:
	case len(given) == 0:
		return done, fmt.Errorf("the import has no keys, and %d in the set %q would go: nothing was changed; force it, if that is meant", before, order.Set)
	case before >= smallSet && lost*mostLost > before:
		return done, fmt.Errorf("%d of the %d keys in the set %q would go: nothing was changed; force it, if that is meant", lost, before, order.Set)
	}
	if order.DryRun {
		return told(would), nil
	}
	var did admit.Imported
	if len(given) == 0 {
		did, err = c.Clear(order.Set)
	} else {
		did, err = c.Chain.Import(order.Set, given)
	}
	if errors.Is(err, admit.ErrEmptyImport) {
		err = fmt.Errorf("nothing was changed: %w", err)
	}
	return told(did), err
}

func told(did admit.Imported) Imported {
	return Imported{Came: cameOf(did.Came), Went: cameOf(did.Went), Changed: cameOf(did.Changed), Same: did.Same}
}

func cameOf(entries []admit.Entry) []Came {
	all := make([]Came, len(entries))
	for i, e := range entries {
		all[i] = Came{Key: e.Key, Label: e.Label, Name: e.Name}
	}
	return all
}
