package history

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
)

// A record is one minute. All of it adds up: two processes, or two halves of a minute,
// together are the sum of both.
type record struct {
	minute int64  // since 1970
	turn   uint64 // which write to the file began it; 0: it is not there yet
	millis uint64 // for which the values stand
	values []uint64

	again bool // this process has been in that minute before: what was said of it counts no more
}

const (
	millisOfMinute = 60_000

	magic      = "detour\x00h"
	headerSize = 8192
	longest    = 64 // bytes of a name

	mostNames   = 256
	mostMinutes = 1 << 20
)

// A layout says what the records of a file are.
type layout struct {
	Minutes int64    `json:"minutes"` // how many there are
	Columns []string `json:"columns"`
}

// The header has magic, the length and the checksum of a layout as JSON, and that; the rest
// is zeros.

func (l layout) header() ([]byte, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	h := make([]byte, headerSize)
	if len(magic)+8+len(text) > headerSize {
		return nil, fmt.Errorf("the names of %d columns have no room", len(l.Columns))
	}
	at := copy(h, magic)
	binary.LittleEndian.PutUint32(h[at:], uint32(len(text)))
	binary.LittleEndian.PutUint32(h[at+4:], crc32.Checksum(text, castagnoli()))
	copy(h[at+8:], text)
	return h, nil
}

var errHeader = errors.New("it does not begin as the file of a history does")

// parseHeader reads the header of a file that has so many minutes. Of one that has others,
// or more, it returns the layout as well.
func parseHeader(h []byte, minutes int64) (l layout, err error) {
	const fields = len(magic) + 8
	if len(h) < headerSize || string(h[:len(magic)]) != magic {
		return l, errHeader
	}
	length := binary.LittleEndian.Uint32(h[len(magic):])
	if length > headerSize-uint32(fields) {
		return l, errHeader
	}
	text := h[fields : fields+int(length)]
	if crc32.Checksum(text, castagnoli()) != binary.LittleEndian.Uint32(h[len(magic)+4:]) {
		return l, errHeader
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return layout{}, fmt.Errorf("%w: %w", errHeader, err)
	}
	if err := l.check(); err != nil {
		return layout{}, fmt.Errorf("%w: %w", errHeader, err)
	}
	if l.Minutes != minutes {
		err = fmt.Errorf("%w: it has %d minutes", errHeader, l.Minutes)
	}
	return l, err
}

func (l layout) check() error {
	if l.Minutes < 1 || l.Minutes > mostMinutes || len(l.Columns) == 0 || len(l.Columns) > mostNames {
		return fmt.Errorf("%d minutes, %d columns", l.Minutes, len(l.Columns))
	}
	for i, name := range l.Columns {
		if name == "" || len(name) > longest || slices.Contains(l.Columns[:i], name) {
			return fmt.Errorf("column %.80q", name)
		}
	}
	return nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// size is how long a record is: minute, turn, milliseconds, values and checksum.
func (l layout) size() int64 { return int64(8 * (4 + len(l.Columns))) }

// fileSize is how long the file is.
func (l layout) fileSize() int64 { return headerSize + l.Minutes*l.size() }

// slot is where the record of a minute is.
func (l layout) slot(minute int64) int64 { return headerSize + minute%l.Minutes*l.size() }

// seal is the checksum of a record, which holds for this layout only.
func (l layout) seal(text []byte) uint64 {
	sum := crc32.New(castagnoli())
	for _, name := range l.Columns {
		sum.Write([]byte(name))
		sum.Write([]byte{0})
	}
	sum.Write(text)
	return 1<<32 | uint64(sum.Sum32()) // never that of zeros
}

func (l layout) encode(r *record) []byte {
	text := make([]byte, 0, l.size())
	text = binary.LittleEndian.AppendUint64(text, uint64(r.minute))
	text = binary.LittleEndian.AppendUint64(text, r.turn)
	text = binary.LittleEndian.AppendUint64(text, r.millis)
	for _, v := range r.values {
		text = binary.LittleEndian.AppendUint64(text, v)
	}
	return binary.LittleEndian.AppendUint64(text, l.seal(text))
}

// decode reads a record of a place in the file, counted from 0. Nil: there is none, or it
// is damaged.
func (l layout) decode(text []byte, place int64) (r *record, damaged bool) {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(text[8*i:]) }
	end := 3 + len(l.Columns)
	if !slices.ContainsFunc(text, func(b byte) bool { return b != 0 }) {
		return nil, false
	}
	r = &record{minute: int64(word(0)), turn: word(1), millis: word(2), values: make([]uint64, len(l.Columns))}
	if word(end) != l.seal(text[:8*end]) || r.minute < 0 || r.minute%l.Minutes != place {
		return nil, true
	}
	for i := range r.values {
		r.values[i] = word(3 + i)
	}
	return r, false
}

// from returns a record of another layout as one of this. What this one does not know is
// left out.
func (l layout) from(other layout, r *record) *record {
	if slices.Equal(l.Columns, other.Columns) {
		return r
	}
	to := &record{minute: r.minute, turn: r.turn, millis: r.millis, values: make([]uint64, len(l.Columns))}
	for i, name := range other.Columns {
		if at := slices.Index(l.Columns, name); at >= 0 {
			to.values[at] = r.values[i]
		}
	}
	return to
}

// with is the layout that has the columns of another, too, as far as there is room.
func (l layout) with(other layout) layout {
	both := layout{l.Minutes, slices.Clone(l.Columns)}
	for _, name := range other.Columns {
		if !slices.Contains(both.Columns, name) {
			both.Columns = append(both.Columns, name)
		}
	}
	if _, err := both.header(); err != nil || len(both.Columns) > mostNames {
		return l
	}
	return both
}

// has reports whether all columns of another layout are in this one.
func (l layout) has(other layout) bool {
	for _, name := range other.Columns {
		if !slices.Contains(l.Columns, name) {
			return false
		}
	}
	return true
}

// add adds what another record of the same minute has.
func (r *record) add(other *record) {
	r.millis += other.millis
	for i, v := range other.values {
		r.values[i] += v
	}
}
