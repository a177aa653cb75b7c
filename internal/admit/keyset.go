package admit

import (
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/detour-relay/detour/key"
)

// A keyset holds the entries of one file. Files may have a million of them, so an
// entry is small (44 bytes) and there are no pointers in it: sorted by key, looked
// up by halves.
type keyset struct {
	entries []listed // sorted by key once it is complete; a key stands once
	labels  labels
}

// listed is an entry of a file.
type listed struct {
	key   key.Public
	until uint32 // seconds since 1970; 0: never ends
	label uint32 // number in labels; 0: none
	line  uint32
}

// latest is the latest end that an entry can have, in the year 2106.
const latest = math.MaxUint32

func (l *listed) end() time.Time {
	if l.until == 0 {
		return time.Time{}
	}
	return time.Unix(int64(l.until), 0).UTC()
}

// find returns the entry of a key.
func (s *keyset) find(k key.Public) (listed, bool) {
	i, found := slices.BinarySearchFunc(s.entries, k, func(l listed, k key.Public) int { return l.key.Compare(k) })
	if !found {
		return listed{}, false
	}
	return s.entries[i], true
}

// entry is a listed one in full.
func (s *keyset) entry(l listed, from string) Entry {
	return Entry{Key: l.key, Label: s.labels.name(l.label), Until: l.end(), From: from}
}

func (s *keyset) all(from string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, l := range s.entries {
			if !yield(s.entry(l, from)) {
				return
			}
		}
	}
}

// complete sorts the entries. Of several lines with one key the last counts; differ is
// told of those that do not say the same.
func (s *keyset) complete(differ func(before, last listed)) {
	byKey := func(a, b listed) int {
		if c := a.key.Compare(b.key); c != 0 {
			return c
		}
		return int(a.line) - int(b.line)
	}
	if !slices.IsSortedFunc(s.entries, byKey) {
		slices.SortFunc(s.entries, byKey)
	}
	kept := s.entries[:0]
	for _, l := range s.entries {
		n := len(kept)
		if n == 0 || kept[n-1].key != l.key {
			kept = append(kept, l)
			continue
		}
		if before := kept[n-1]; before.label != l.label || before.until != l.until {
			differ(before, l)
		}
		kept[n-1] = l
	}
	s.entries = kept
	s.labels.seen = nil
}

// labels are numbered, each once. All of them stand in one text, for a list may have
// as many as keys.
type labels struct {
	text []byte
	ends []uint32          // of label i+1 in text
	seen map[uint64]uint32 // by hash, while the list is read
	seed maphash.Seed
}

func (ls *labels) name(n uint32) string {
	if n == 0 {
		return ""
	}
	begin := uint32(0)
	if n > 1 {
		begin = ls.ends[n-2]
	}
	return string(ls.text[begin:ls.ends[n-1]])
}

// number returns that of a label, which is new or has been seen.
func (ls *labels) number(label []byte) uint32 {
	if len(label) == 0 {
		return 0
	}
	if ls.seen == nil {
		ls.seen, ls.seed = make(map[uint64]uint32), maphash.MakeSeed()
	}
	hash := maphash.Bytes(ls.seed, label)
	n, ok := ls.seen[hash]
	if ok && ls.name(n) == string(label) {
		return n
	}
	ls.text = append(ls.text, label...)
	ls.ends = append(ls.ends, uint32(len(ls.text)))
	n = uint32(len(ls.ends))
	if !ok { // of two labels with one hash the second is never found again, and numbered each time
		ls.seen[hash] = n
	}
	return n
}
