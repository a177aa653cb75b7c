package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/detour-relay/detour/internal/smallfile"
)

// ready has a file at its place that can be written to: it makes one, gives one of another
// version the columns that it does not have, and begins one that is broken anew with all
// that is whole in it, which unread tells. The first time it looks at each record.
func (f *file) ready() (unread, err error) {
	disk, on, err := f.open(os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.make(f.layout, nil)
	}
	if err == nil {
		disk.Close()
		if f.seen && on.has(f.layout) {
			return nil, nil
		}
	} else if !errors.Is(err, errBroken) {
		return nil, err
	}
	unread, err = f.rebuild(on, err)
	f.seen = err == nil
	return unread, err
}

// rebuild makes a file anew with the records that are whole, unless all is as it should be.
// Why tells what is wrong with it; nil: nothing that is known.
func (f *file) rebuild(on layout, why error) (unread, err error) {
	text, err := f.all()
	if err != nil {
		return nil, err
	}
	if len(on.Columns) == 0 { // the header is lost, but who wrote it was most likely like us
		on = f.layout
	}
	kept, damaged := salvage(text, on)
	for _, r := range kept {
		f.newest = max(f.newest, r.turn)
	}
	switch {
	case why == nil && damaged == 0 && on.has(f.layout):
		return nil, nil
	case why != nil && len(kept) == 0 && !f.once(text):
		return nil, fmt.Errorf("%w, for it is something else: name another file, or move it away", why)
	case why != nil && len(kept) == 0:
		return f.putAside(why)
	case why != nil:
		unread = fmt.Errorf("%w; it is begun anew with the %d minutes that are whole", why, len(kept))
	case damaged > 0:
		unread = fmt.Errorf("%s: %d minutes are damaged and left out", f.path, damaged)
	}
	to := f.layout.with(on)
	for i, r := range kept {
		kept[i] = to.from(on, r)
	}
	return unread, f.make(to, kept)
}

// all reads a file, as far as one of ours can be long.
func (f *file) all() ([]byte, error) {
	most := layout{Minutes: f.layout.Minutes, Columns: make([]string, mostNames)}.fileSize()
	disk, info, err := smallfile.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	text := make([]byte, min(info.Size(), most))
	n, err := disk.ReadAt(text, 0)
	if n < len(text) {
		return nil, smallfile.Explain(f.path, err)
	}
	return text, nil
}

// salvage returns the records that are whole in the text of a file, the oldest first, and
// how many are not.
func salvage(text []byte, on layout) (kept []*record, damaged int) {
	for place := range on.Minutes {
		from := headerSize + place*on.size()
		if from+on.size() > int64(len(text)) {
			break
		}
		r, bad := on.decode(text[from:from+on.size()], place)
		if bad {
			damaged++
		} else if r != nil {
			kept = append(kept, r)
		}
	}
	slices.SortFunc(kept, func(a, b *record) int { return cmp.Compare(a.minute, b.minute) })
	return kept, damaged
}

// once reports whether a file of which nothing is left may have been ours. All others stay
// where they are: somebody may have named the wrong one.
func (f *file) once(text []byte) bool {
	return len(text) == 0 || strings.HasPrefix(string(text), magic) || int64(len(text)) == f.layout.fileSize()
}

// putAside keeps a file that is of no use, and makes one in its place.
func (f *file) putAside(why error) (unread, err error) {
	aside := f.path + ".unreadable"
	if err := os.Rename(f.path, aside); err != nil {
		return nil, fmt.Errorf("%w; it cannot be kept aside either: %w", why, err)
	}
	return fmt.Errorf("%w; it is kept as %s, and the history begins anew", why, aside), f.make(f.layout, nil)
}

// make writes a whole file, so that the disk has room for it from then on.
func (f *file) make(as layout, all []*record) error {
	header, err := as.header()
	if err != nil {
		return err
	}
	text := make([]byte, as.fileSize())
	copy(text, header)
	for _, r := range all {
		copy(text[as.slot(r.minute):], as.encode(r))
	}
	return smallfile.WriteOver(f.path, text, smallfile.ModeSecret)
}
