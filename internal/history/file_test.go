package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/detour-relay/detour/internal/smallfile"
)

const few = 8 // minutes in the files of tests

func testFile(t *testing.T, columns ...string) *file {
	t.Helper()
	if columns == nil {
		columns = []string{"a", "b", "c"}
	}
	return &file{path: filepath.Join(t.TempDir(), "history.db"), layout: layout{few, columns}}
}

// again is the same file as the next process has it.
func (f *file) again(columns ...string) *file {
	if columns == nil {
		columns = f.layout.Columns
	}
	return &file{path: f.path, layout: layout{few, columns}}
}

func (f *file) must(t *testing.T, all ...*record) (unread string) {
	t.Helper()
	left, said, err := f.write(all)
	if err != nil || len(left) > 0 {
		t.Fatal(left, err)
	}
	if said != nil {
		return said.Error()
	}
	return ""
}

// text is what is in a file.
func (f *file) text(t *testing.T, first, end int64) string {
	t.Helper()
	all := []string{}
	if err := f.read(first, end, func(r *record) { all = append(all, fmt.Sprintf("%d:%d%v", r.minute, r.millis, r.values)) }); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func minute(at int64, values ...uint64) *record {
	return &record{minute: at, millis: 60, values: values}
}

func TestFileKeepsTheLastMinutes(t *testing.T) {
	f := testFile(t)
	if got := f.text(t, 0, 100); got != "" {
		t.Errorf("before it is there: %s", got)
	}
	f.must(t, minute(100, 1, 2, 3))
	before, _ := os.Stat(f.path)
	for at := int64(101); at < 120; at++ {
		f.must(t, minute(at, uint64(at), 2, 3))
	}
	if got, want := f.again().text(t, 0, 1000), ""; got != want {
		t.Errorf("%s, want nothing: a thousand minutes later all is too old", got)
	}
	if got, want := f.again().text(t, 0, 120), "112:60[112 2 3] 113:60[113 2 3] 114:60[114 2 3] 115:60[115 2 3] 116:60[116 2 3] 117:60[117 2 3] 118:60[118 2 3] 119:60[119 2 3]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := f.text(t, 115, 117), "115:60[115 2 3] 116:60[116 2 3]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	after, _ := os.Stat(f.path)
	if before.Size() != after.Size() || after.Mode().Perm() != 0o600 || after.Size() != f.layout.fileSize() {
		t.Errorf("%d and then %d bytes, %v", before.Size(), after.Size(), after.Mode())
	}
}

// Minutes in which the relay was off are not there, whatever was in their place.
func TestFileHasGaps(t *testing.T) {
	f := testFile(t)
	for at := int64(0); at < few; at++ {
		f.must(t, minute(1000+at, 1, 1, 1))
	}
	f.must(t, minute(1010, 2, 2, 2), minute(1013, 3, 3, 3))
	if got, want := f.text(t, 1006, 1014), "1006:60[1 1 1] 1007:60[1 1 1] 1010:60[2 2 2] 1013:60[3 3 3]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Halves of a minute, and two processes side by side, add up; the same minute of another
// time does not.
func TestMinutesAddUp(t *testing.T) {
	a := testFile(t)
	b := a.again()
	a.must(t, minute(50, 1, 0, 0))
	b.must(t, minute(50, 2, 0, 0))
	a.must(t, minute(51, 3, 0, 0))
	a.must(t, minute(52, 3, 0, 0))
	b.must(t, minute(51, 4, 0, 0), minute(52, 5, 0, 0))
	if got, want := a.text(t, 0, 53), "50:120[3 0 0] 51:120[7 0 0] 52:120[8 0 0]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// The clock goes back, and another process begins.
	c := a.again()
	c.must(t, minute(49, 9, 0, 0))
	c.must(t, minute(50, 10, 0, 0))
	if got, want := a.text(t, 0, 53), "49:60[9 0 0] 50:60[10 0 0] 51:120[7 0 0] 52:120[8 0 0]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// It goes back once more, and the process knows.
	c.must(t, &record{minute: 50, millis: 1, values: []uint64{11, 0, 0}, again: true})
	if got, want := a.text(t, 50, 51), "50:1[11 0 0]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestFileOfAnotherVersion(t *testing.T) {
	old := testFile(t, "a", "gone", "b")
	old.must(t, minute(5, 1, 2, 3))
	now := old.again("b", "new", "a")
	if got, want := now.text(t, 0, 8), "5:60[3 0 1]"; got != want {
		t.Errorf("read: %s, want %s", got, want)
	}
	if said := now.must(t, minute(6, 4, 5, 6)); said != "" {
		t.Errorf("it is said that %s", said)
	}
	if got, want := now.text(t, 0, 8), "5:60[3 0 1] 6:60[4 5 6]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	old.must(t, minute(6, 10, 20, 30)) // it drains
	if got, want := now.text(t, 0, 8), "5:60[3 0 1] 6:120[34 5 16]"; got != want {
		t.Errorf("after the old process: %s, want %s", got, want)
	}
	if got, want := old.again().text(t, 0, 8), "5:60[1 2 3] 6:120[16 20 34]"; got != want {
		t.Errorf("back to the old version: %s, want %s", got, want)
	}
}

// damage changes the text of a file.
func (f *file) damage(t *testing.T, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path, change(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenFiles(t *testing.T) {
	whole := "16:60[1 0 0] 17:60[2 0 0] 18:60[3 0 0] 19:60[4 0 0]"
	for name, c := range map[string]struct {
		change func(f *file, text []byte) []byte
		want   string // what is there after the next minute
		said   string
		aside  bool
	}{
		"whole": {func(_ *file, text []byte) []byte { return text }, whole, "", false},
		"cut off in a record": {func(f *file, text []byte) []byte { return text[:f.layout.slot(18)+5] }, "16:60[1 0 0] 17:60[2 0 0]",
			"bytes instead of 8640: it cannot be used; it is begun anew with the 2 minutes that are whole", false},
		"cut off in the header": {func(f *file, text []byte) []byte { return text[:100] }, "", "has 100 bytes: it cannot be used; it is kept as ", true},
		"empty":                 {func(f *file, text []byte) []byte { return nil }, "", "has 0 bytes: it cannot be used; it is kept as ", true},
		"longer":                {func(f *file, text []byte) []byte { return append(text, 1) }, whole, "bytes instead of 8640: it cannot be used; it is begun anew with the 4 minutes", false},
		"no header": {func(f *file, text []byte) []byte { clear(text[:headerSize]); return text }, whole,
			"it does not begin as the file of a history does: it cannot be used; it is begun anew with the 4 minutes that are whole", false},
		"a bit of the header": {func(f *file, text []byte) []byte { text[30] ^= 4; return text }, whole, "begun anew with the 4 minutes", false},
		"a bit of a record":   {func(f *file, text []byte) []byte { text[f.layout.slot(17)+30] ^= 4; return text }, "16:60[1 0 0] 18:60[3 0 0] 19:60[4 0 0]", "1 minutes are damaged and left out", false},
		"zeros in a record":   {func(f *file, text []byte) []byte { clear(text[f.layout.slot(17):f.layout.slot(18)]); return text }, "16:60[1 0 0] 18:60[3 0 0] 19:60[4 0 0]", "", false},
		"records that changed places": {func(f *file, text []byte) []byte {
			one := slices.Clone(text[f.layout.slot(17):f.layout.slot(18)])
			copy(text[f.layout.slot(17):], text[f.layout.slot(18):f.layout.slot(19)])
			copy(text[f.layout.slot(18):], one)
			return text
		}, "16:60[1 0 0] 19:60[4 0 0]", "2 minutes are damaged and left out", false},
		"noise": {func(f *file, text []byte) []byte {
			random := rand.New(rand.NewPCG(7, 8))
			for i := range text {
				text[i] = byte(random.Uint32())
			}
			return text
		}, "", "it is kept as ", true},
		"of another number of minutes": {func(f *file, _ []byte) []byte {
			more := &file{path: f.path, layout: layout{few + 3, f.layout.Columns}}
			os.Remove(f.path)
			for i := range int64(11) {
				more.write([]*record{minute(9+i, uint64(i), 0, 0)})
			}
			text, _ := os.ReadFile(f.path)
			return text
		}, "13:60[4 0 0] 14:60[5 0 0] 15:60[6 0 0] 16:60[7 0 0] 17:60[8 0 0] 18:60[9 0 0] 19:60[10 0 0]", "it has 11 minutes: it cannot be used; it is begun anew with the 11 minutes", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := testFile(t)
			for i := range int64(4) {
				f.must(t, minute(16+i, uint64(i+1), 0, 0))
			}
			var broken []byte
			f.damage(t, func(text []byte) []byte { broken = c.change(f, text); return slices.Clone(broken) })
			next := f.again()
			next.read(0, 30, func(*record) {}) // before it has been repaired: whatever is there
			said := next.must(t, minute(20, 5, 0, 0))
			if got, want := next.text(t, 0, 21), strings.TrimSpace(c.want+" 20:60[5 0 0]"); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if !strings.Contains(said, c.said) || (said == "") != (c.said == "") {
				t.Errorf("it says %q, want %q", said, c.said)
			}
			aside, err := os.ReadFile(f.path + ".unreadable")
			if c.aside != (err == nil) || c.aside && !reflect.DeepEqual(aside, append([]byte{}, broken...)) {
				t.Errorf("aside: %d bytes, %v", len(aside), err)
			}
			if said := f.again().must(t, minute(21, 6, 0, 0)); said != "" {
				t.Errorf("it says again: %s", said)
			}
		})
	}
}

func TestPlacesWhereNothingCanBeKept(t *testing.T) {
	f := testFile(t)
	if err := os.Mkdir(f.path, 0o700); err != nil {
		t.Fatal(err)
	}
	left, _, err := f.write([]*record{minute(1, 1, 1, 1)})
	if err == nil || len(left) != 1 || !strings.Contains(err.Error(), "is a directory: name a regular file") {
		t.Errorf("a directory: %v", err)
	}
	notes := &file{path: f.path + ".txt", layout: f.layout}
	if err := os.WriteFile(notes.path, []byte("somebody's notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := notes.write([]*record{minute(1, 1, 1, 1)}); err == nil || !strings.Contains(err.Error(), "it is something else: name another file") {
		t.Errorf("somebody's file: %v", err)
	}
	if text, err := os.ReadFile(notes.path); err != nil || string(text) != "somebody's notes" {
		t.Errorf("somebody's file has become %q, %v", text, err)
	}
	below := &file{path: filepath.Join(f.path, "x"), layout: f.layout}
	below.must(t, minute(1, 1, 1, 1))
	f.path = filepath.Join(below.path, "y")
	if _, _, err := f.write([]*record{minute(1, 1, 1, 1)}); err == nil || !strings.Contains(err.Error(), "is no directory") {
		t.Errorf("below a file: %v", err)
	}
}

// A process that holds the lock and does not go on disturbs nobody.
func TestFileIsLocked(t *testing.T) {
	synctest.Test(t, testFileIsLocked)
}

func testFileIsLocked(t *testing.T) {
	f := testFile(t)
	f.must(t, minute(1, 1, 1, 1))
	release, err := smallfile.Lock(f.path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	if left, _, err := f.write([]*record{minute(2, 1, 1, 1)}); !errors.Is(err, smallfile.ErrLocked) || len(left) != 1 {
		t.Errorf("%v", err)
	}
	release()
	f.must(t, minute(2, 1, 1, 1))
}

func TestLayouts(t *testing.T) {
	many := make([]string, mostNames)
	for i := range many {
		many[i] = fmt.Sprint("n", i)
	}
	for _, columns := range [][]string{{"a"}, {"a", "b"}, many} {
		l := layout{few, columns}
		h, err := l.header()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseHeader(h, few); err != nil || !reflect.DeepEqual(got, l) {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := parseHeader(h, few+1); !errors.Is(err, errHeader) {
			t.Errorf("of another number of minutes: %v", err)
		}
	}
	for _, columns := range [][]string{{}, {""}, {"a", "a"}, {strings.Repeat("x", longest+1)}, append(slices.Clone(many), "one more")} {
		h, err := layout{few, columns}.header()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseHeader(h, few); !errors.Is(err, errHeader) {
			t.Errorf("%d columns: %v", len(columns), err)
		}
	}
	if _, err := (layout{few, []string{strings.Repeat("x", headerSize)}}).header(); err == nil {
		t.Error("a name that is longer than the header")
	}
	if full := (layout{few, many}).with(layout{few, []string{"more"}}); len(full.Columns) != mostNames {
		t.Errorf("%d columns", len(full.Columns))
	}
}

// Whatever is in a file, what is taken over from it is what has been written with its
// checksum, and the file that is made of it is whole.
func FuzzReader(f *testing.F) {
	l := layout{few, []string{"a", "b", "c"}}
	header, err := l.header()
	if err != nil {
		f.Fatal(err)
	}
	whole := make([]byte, l.fileSize())
	copy(whole, header)
	for at := int64(9); at < 14; at++ {
		copy(whole[l.slot(at):], l.encode(minute(at, 1, 2, 3)))
	}
	flipped := slices.Clone(whole)
	flipped[l.slot(10)+20] ^= 1
	other, _ := layout{few + 1, []string{"c", "d"}}.header()
	for _, text := range [][]byte{whole, flipped, header, whole[:len(whole)-1], {}, []byte(magic), other, append(other, whole...)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		on, err := parseHeader(text, few)
		if err == nil && on.check() != nil {
			t.Fatalf("%+v is taken for good: %v", on, on.check())
		}
		if len(on.Columns) == 0 {
			on = l
		}
		kept, damaged := salvage(text, on)
		if int64(len(kept)+damaged) > int64(len(text))/on.size() {
			t.Fatalf("%d and %d minutes in %d bytes", len(kept), damaged, len(text))
		}
		to := l.with(on)
		header, err := to.header()
		if err != nil || !to.has(l) {
			t.Fatalf("%+v: %v", to, err)
		}
		if again, err := parseHeader(header, few); err != nil || !reflect.DeepEqual(again, to) {
			t.Fatalf("%+v becomes %+v, %v", to, again, err)
		}
		for _, r := range kept {
			r = to.from(on, r)
			if again, damaged := to.decode(to.encode(r), r.minute%few); damaged || !reflect.DeepEqual(again, r) {
				t.Fatalf("%+v becomes %+v", r, again)
			}
		}
	})
}
