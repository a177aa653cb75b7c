package admit

import (
	"bytes"
	"cmp"
	"encoding/binary"
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
		if x, y := binary.BigEndian.Uint64(a.key[:]), binary.BigEndian.Uint64(b.key[:]); x != y { // nearly always
			return cmp.Compare(x, y)
		}
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
	if cap(kept) > len(kept)+len(kept)/8+64 { // there were more comments than it seemed
		s.entries = append(make([]listed, 0, len(kept)), kept...)
	}
	s.labels.table = nil
}

// labels are numbered, each once. They stand one after the other in large pieces,
// each behind its length, for a list may have as many as keys.
type labels struct {
	pieces [][]byte
	starts []uint32 // of label i+1: the piece and the place in it

	// While the list is read: a hash table of numbers, half empty at least, whose length
	// is a power of two.
	table []uint32
	seed  maphash.Seed
}

const pieceBits = 16

func (ls *labels) name(n uint32) string { return string(ls.at(n)) }

func (ls *labels) at(n uint32) []byte {
	if n == 0 {
		return nil
	}
	start := ls.starts[n-1]
	label := ls.pieces[start>>pieceBits][start&(1<<pieceBits-1):]
	return label[1 : 1+label[0]]
}

// add numbers a label of mostLabel bytes at most.
func (ls *labels) add(label []byte) (n uint32) {
	last := len(ls.pieces) - 1
	if last < 0 || len(ls.pieces[last])+1+len(label) > 1<<pieceBits {
		ls.pieces = append(ls.pieces, make([]byte, 0, 1<<pieceBits))
		last++
	}
	ls.starts = append(ls.starts, uint32(last<<pieceBits|len(ls.pieces[last])))
	ls.pieces[last] = append(append(ls.pieces[last], byte(len(label))), label...)
	return uint32(len(ls.starts))
}

// number returns that of a label. A new one is checked first.
func (ls *labels) number(label []byte) (uint32, error) {
	if len(label) > mostLabel {
		return 0, checkLabel(string(label))
	}
	if 2*len(ls.starts) >= len(ls.table) {
		ls.grow()
	}
	slot := ls.slot(label)
	if ls.table[slot] == 0 {
		if err := checkLabel(string(label)); err != nil {
			return 0, err
		}
		ls.table[slot] = ls.add(label)
	}
	return ls.table[slot], nil
}

// slot is where the number of a label stands, or would.
func (ls *labels) slot(label []byte) int {
	mask := len(ls.table) - 1
	i := int(maphash.Bytes(ls.seed, label)) & mask
	for ls.table[i] != 0 && !bytes.Equal(ls.at(ls.table[i]), label) {
		i = (i + 1) & mask
	}
	return i
}

func (ls *labels) grow() {
	if ls.table == nil {
		ls.seed = maphash.MakeSeed()
	}
	ls.table = make([]uint32, max(64, 4*len(ls.starts)))
	for n := uint32(1); n <= uint32(len(ls.starts)); n++ {
		ls.table[ls.slot(ls.at(n))] = n
	}
}
