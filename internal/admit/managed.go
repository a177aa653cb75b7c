package admit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/key"
)

// managedName is the file of the relay's own list in the state directory.
const (
	managedName    = "access.json"
	managedVersion = 1

	// mostManaged bounds that file. It is written whole with each change: who has more
	// keys than fit has them in a file of Access.Keys.
	mostManaged = 64 << 20

	// remembered is how long an entry or a ban that has ended is still shown.
	remembered = 30 * 24 * time.Hour
)

// A book is the relay's own list: who was allowed and imported, and who is banned. It
// is not changed: each change makes another one.
type book struct {
	allow map[key.Public]Entry
	sets  map[string]map[key.Public]Entry // by the name of the import
	bans  map[key.Public]Ban
	ours  map[string]bool // sets that no other book has, while this one is made
}

// managedFile is the form of a book on disk.
type managedFile struct {
	Version int                `json:"version"`
	Allow   []Entry            `json:"allow"`
	Sets    map[string][]Entry `json:"sets"`
	Bans    []Ban              `json:"bans"`
}

func newBook() *book {
	return &book{allow: map[key.Public]Entry{}, sets: map[string]map[key.Public]Entry{}, bans: map[key.Public]Ban{}}
}

// clone is a book that may be changed, but for what is within a set.
func (b *book) clone() *book {
	return &book{allow: maps.Clone(b.allow), sets: maps.Clone(b.sets), bans: maps.Clone(b.bans), ours: map[string]bool{}}
}

// own is a set that may be changed.
func (b *book) own(name string) map[key.Public]Entry {
	if !b.ours[name] {
		b.ours[name], b.sets[name] = true, maps.Clone(b.sets[name])
	}
	return b.sets[name]
}

// find returns an entry that lets the key in now, or one that has ended.
func (b *book) find(k key.Public, now time.Time) (found Entry, ok bool) {
	if e, here := b.allow[k]; here {
		found, ok = e, true
		found.From = FromAllow
		if !e.ended(now) {
			return found, true
		}
	}
	for name, set := range b.sets {
		e, here := set[k]
		if here && (!ok || found.ended(now)) {
			found, ok = e, true
			found.From = FromImport + name
		}
	}
	return found, ok
}

// entries are all, in an order that stays.
func (b *book) entries(yield func(Entry) bool) bool {
	for _, e := range sortedEntries(b.allow) {
		e.From = FromAllow
		if !yield(e) {
			return false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.sets)) {
		for _, e := range sortedEntries(b.sets[name]) {
			e.From = FromImport + name
			if !yield(e) {
				return false
			}
		}
	}
	return true
}

// entriesOf are those of one key, in the same order.
func (b *book) entriesOf(k key.Public, yield func(Entry) bool) bool {
	if e, here := b.allow[k]; here {
		e.From = FromAllow
		if !yield(e) {
			return false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.sets)) {
		if e, here := b.sets[name][k]; here {
			e.From = FromImport + name
			if !yield(e) {
				return false
			}
		}
	}
	return true
}

func (b *book) count() int {
	n := len(b.allow)
	for _, set := range b.sets {
		n += len(set)
	}
	return n
}

func (b *book) sortedBans() []Ban {
	return slices.SortedFunc(maps.Values(b.bans), func(a, c Ban) int { return a.Key.Compare(c.Key) })
}

func sortedEntries(of map[key.Public]Entry) []Entry {
	return slices.SortedFunc(maps.Values(of), func(a, b Entry) int { return a.Key.Compare(b.Key) })
}

// forget leaves out what has ended long ago.
func (b *book) forget(now time.Time) {
	long := now.Add(-remembered)
	maps.DeleteFunc(b.bans, func(_ key.Public, ban Ban) bool { return ban.ended(long) })
	maps.DeleteFunc(b.allow, func(_ key.Public, e Entry) bool { return e.ended(long) })
}

func (b *book) encode() ([]byte, error) {
	f := managedFile{Version: managedVersion, Allow: sortedEntries(b.allow), Sets: map[string][]Entry{}, Bans: b.sortedBans()}
	for name, set := range b.sets {
		f.Sets[name] = sortedEntries(set)
	}
	data, err := json.MarshalIndent(f, "", " ")
	return append(data, '\n'), err
}

// decodeBook reads what encode has written, or somebody by hand.
func decodeBook(data []byte) (*book, error) {
	data, err := text.Decode(data)
	if err != nil {
		return nil, err
	}
	var f managedFile
	if err := decodeStrictly(data, &f); err != nil {
		return nil, err
	}
	if f.Version != managedVersion {
		return nil, fmt.Errorf("version %d: this program knows version %d: run the one that wrote it", f.Version, managedVersion)
	}
	return f.book()
}

// decodeStrictly reads one JSON value that has nothing unknown in it. Its errors have
// the place.
func decodeStrictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, err := d.Token(); err != io.EOF {
			return placed(data, d.InputOffset(), "more after the last brace: take it out")
		}
		return nil
	}
	return jsonError(data, d, err)
}

func (f *managedFile) book() (*book, error) {
	b := newBook()
	fill := func(what string, into map[key.Public]Entry, from []Entry) error {
		for i, e := range from {
			if err := e.check(); err != nil {
				return fmt.Errorf("%s, entry %d: %w", what, i+1, err)
			}
			into[e.Key] = e
		}
		return nil
	}
	if err := fill(`"allow"`, b.allow, f.Allow); err != nil {
		return nil, err
	}
	for name, set := range f.Sets {
		if err := checkSet(name); err != nil {
			return nil, err
		}
		b.sets[name] = make(map[key.Public]Entry, len(set))
		if err := fill(fmt.Sprintf("set %q", name), b.sets[name], set); err != nil {
			return nil, err
		}
	}
	for i, ban := range f.Bans {
		if err := ban.check(); err != nil {
			return nil, fmt.Errorf("\"bans\", entry %d: %w", i+1, err)
		}
		b.bans[ban.Key] = ban
	}
	return b, nil
}

func checkSet(name string) error {
	if name == "" {
		return errors.New("the name of the imported set is empty: name it after where it comes from")
	}
	if err := checkLabel(name); err != nil {
		return fmt.Errorf("the name of an imported set is like a label: %w", err)
	}
	return nil
}

// A shelf is where a book is kept. Its methods are called by one at a time.
type shelf struct {
	path    string // empty: in memory only
	watched watched
	kept    stamp // of the file that the book in force was read from, or written to
}

func newShelf(stateDir string) *shelf {
	if stateDir == "" {
		return &shelf{}
	}
	path := filepath.Join(stateDir, managedName)
	return &shelf{path: path, watched: watched{path: path}}
}

// load returns the book, which is empty if nothing was ever written.
func (s *shelf) load() (*book, error) {
	if s.path == "" {
		return newBook(), nil
	}
	read, err := stampOf(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return newBook(), nil
	}
	data, err := smallfile.Read(s.path, mostManaged)
	if err != nil {
		return nil, err
	}
	s.watched.read, s.watched.seen = read, read
	b, err := decodeBook(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: mend it, or move it away to begin with an empty list", s.path, err)
	}
	s.kept = read
	return b, nil
}

// changed reports whether somebody else has written the book: a person, or the process
// that takes over from this one.
func (s *shelf) changed() (bool, error) {
	if s.path == "" || s.watched.read.info == nil {
		if s.path == "" {
			return false, nil
		}
		if _, err := stampOf(s.path); errors.Is(err, fs.ErrNotExist) {
			return false, nil // nothing was there, and nothing is
		}
	}
	return s.watched.changed()
}

// anew reports whether the file is one that no look has seen yet. As a rule it is
// replaced as a whole, and a ban need not wait for a second look.
func (s *shelf) anew() bool {
	now, err := stampOf(s.path)
	return err == nil && !now.same(s.kept) && !now.same(s.watched.read) && !now.same(s.watched.seen)
}

// ahead reports whether the file is another one than the book in force is from.
func (s *shelf) ahead() bool {
	now, err := stampOf(s.path)
	return err == nil && !now.same(s.kept)
}

func (s *shelf) save(b *book) error {
	if s.path == "" {
		return nil
	}
	data, err := b.encode()
	if err == nil && len(data) > mostManaged {
		err = fmt.Errorf("%s would have %d MiB, of %d at most: keep so many keys in a file of access.keys", s.path, len(data)>>20, mostManaged>>20)
	}
	if err == nil {
		err = smallfile.MakeDir(filepath.Dir(s.path))
	}
	if err == nil {
		err = smallfile.WriteOver(s.path, data, smallfile.ModeSecret)
	}
	if err == nil {
		s.kept, err = stampOf(s.path)
		s.watched.read, s.watched.seen = s.kept, s.kept
	}
	return err
}
