package quota

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestMonths(t *testing.T) {
	for _, c := range []struct {
		now         string
		day         int
		month, next string
	}{
		{"2026-11-28T12:00:00Z", 1, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2026-11-01T00:00:00Z", 1, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2026-10-31T23:59:59Z", 1, "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"2026-01-05T00:00:00Z", 15, "2025-12-15T00:00:00Z", "2026-01-15T00:00:00Z"},
		{"2026-12-15T00:00:00Z", 15, "2026-12-15T00:00:00Z", "2027-01-15T00:00:00Z"},
		{"2026-03-27T23:00:00Z", 28, "2026-02-28T00:00:00Z", "2026-03-28T00:00:00Z"},
		{"2026-12-01T01:00:00+02:00", 1, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"}, // still November in UTC
	} {
		if got := monthOf(at(c.now), c.day); !got.Equal(at(c.month)) {
			t.Errorf("%s, day %d: the month began at %v", c.now, c.day, got)
		}
		if got := next(at(c.now), c.day); !got.Equal(at(c.next)) {
			t.Errorf("%s, day %d: the next begins at %v", c.now, c.day, got)
		}
	}
}

// Each month begins once, wherever the clock has been meanwhile.
func TestClockJumps(t *testing.T) {
	for name, c := range map[string]struct {
		clock string // months, one after the other
		want  string // those in which the count begins anew
	}{
		"as it should":          {"11 12", "12"},
		"back":                  {"11 10 11", ""},
		"back and on":           {"11 10 11 12", "12"},
		"far ahead":             {"11 99 99", "99"},
		"far ahead and home":    {"11 99 11 11", "99"},
		"ahead, home and later": {"11 99 11 12 12 13", "99 12 13"},
		"ahead twice":           {"11 99 11 99 11", "99"},
		"ahead until it is":     {"11 13 11 12 13 14", "13 12 13 14"},
		"wrong at first":        {"99 11 12 13", "12 13"},
		"skipped":               {"11 14", "14"},
	} {
		month := func(text string) time.Time {
			n := 0
			for _, digit := range text {
				n = 10*n + int(digit-'0')
			}
			return time.Date(2026, time.Month(n), 3, 0, 0, 0, 0, time.UTC)
		}
		steps := strings.Fields(c.clock)
		count, resets := newCount(month(steps[0]), 1), []string{}
		for _, step := range steps {
			count.In = 7
			if count.turn(month(step), 1) {
				resets = append(resets, step)
			}
			if turned := count.In == 0; turned != (len(resets) > 0 && resets[len(resets)-1] == step && turned) {
				t.Errorf("%s: at %s it has counted %d", name, step, count.In)
			}
			if !count.Month.Equal(monthOf(month(step), 1)) {
				t.Errorf("%s: at %s its month is %v", name, step, count.Month)
			}
		}
		if got := strings.Join(resets, " "); got != c.want || count.Resets != uint64(len(resets)) {
			t.Errorf("%s: it began anew at %q, want %q", name, got, c.want)
		}
	}
}

// Another day of the month is no new month.
func TestDayChanges(t *testing.T) {
	c := newCount(at("2026-11-20T00:00:00Z"), 1)
	c.In = 5
	if c.turn(at("2026-11-20T00:00:01Z"), 15) || c.In != 5 {
		t.Errorf("%+v", c)
	}
	if c.turn(at("2026-12-14T23:59:59Z"), 15) || !c.turn(at("2026-12-15T00:00:00Z"), 15) {
		t.Errorf("%+v", c)
	}
}

func TestCountsStopAtTheEnd(t *testing.T) {
	c := count{In: math.MaxInt64 - 1}.plus(Usage{In: math.MaxUint64, Out: math.MaxUint64})
	if c.In != math.MaxInt64 || c.Out != math.MaxInt64 {
		t.Errorf("%+v", c)
	}
}

// Several processes that come and go share one file, and lose nothing.
func TestProcessesShareTheFile(t *testing.T) {
	type process struct {
		base  count
		delta Usage
	}
	random := rand.New(rand.NewPCG(5, 6))
	s := store{filepath.Join(t.TempDir(), "quota.json")}
	now := at("2026-11-20T00:00:00Z")
	var all []*process
	want := Usage{}
	for range 2000 {
		now = now.Add(time.Minute)
		if len(all) == 0 || len(all) < 3 && random.IntN(10) == 0 {
			p := &process{base: newCount(now, 1)}
			if disk, err := s.read(); err != nil {
				t.Fatal(err)
			} else if disk != nil {
				p.base = *disk
			}
			all = append(all, p)
		}
		i := random.IntN(len(all))
		p := all[i]
		switch random.IntN(10) {
		case 0, 1, 2: // saves
			both, garbled, err := s.add(p.base, p.delta)
			if garbled != nil || err != nil {
				t.Fatal(garbled, err)
			}
			p.base, p.delta = both, Usage{}
		case 3: // ends
			if _, _, err := s.add(p.base, p.delta); err != nil {
				t.Fatal(err)
			}
			all = append(all[:i], all[i+1:]...)
		default:
			p.delta.In += 3
			p.delta.Out += 4
			want.In += 3
			want.Out += 4
		}
	}
	for _, p := range all {
		s.add(p.base, p.delta)
	}
	if disk, err := s.read(); err != nil || disk.In != want.In || disk.Out != want.Out {
		t.Errorf("%+v (%v), want %+v", disk, err, want)
	}
}

// Whoever resets first has reset for both.
func TestResetIsForAllProcesses(t *testing.T) {
	s := store{filepath.Join(t.TempDir(), "quota.json")}
	before, after := at("2026-11-30T23:59:59Z"), at("2026-12-01T00:00:00Z")
	a := newCount(before, 1)
	a, _, _ = s.add(a, Usage{In: 100})
	b := a
	if !a.turn(after, 1) {
		t.Fatal("no new month")
	}
	a, _, _ = s.add(a, Usage{In: 1})
	b, _, _ = s.add(b, Usage{In: 2}) // it has not looked at the clock yet
	if b.turn(after, 1) || b.In != 3 {
		t.Errorf("%+v", b)
	}
	a, _, err := s.add(a, Usage{In: 4})
	if err != nil || a.In != 7 || a.Resets != 1 {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzParse(f *testing.F) {
	whole, _ := json.Marshal(newCount(at("2026-11-20T00:00:00Z"), 1))
	for _, text := range []string{string(whole), "", "{}", "null", "[]", `{"version":1}`, `{"version":2,"day":1}`, "\x00", `{"version":1,"day":1,"in":-1}`,
		`{"version":1,"day":1,"in":1e30}`, `{"version":1,"day":1,"month":"0001-01-01T00:00:00Z"}`, string(whole[:20])} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parse(text)
		if err != nil {
			return
		}
		c.turn(at("2026-11-20T00:00:00Z"), 1)
		again, err := json.Marshal(c.plus(Usage{In: math.MaxUint64}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(again); err != nil {
			t.Errorf("what is written cannot be read: %v: %s", err, again)
		}
	})
}
