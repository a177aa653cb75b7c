package control

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/key"
)

func chainOf(t testing.TB, files ...string) Access {
	t.Helper()
	c, err := admit.New(admit.Config{Access: config.Access{Keys: files, Managed: true}})
	if err != nil {
		t.Fatal(err)
	}
	return OfChain(c)
}

// A model of who is in which list.
type model struct {
	file    map[key.Public]bool
	allowed map[key.Public]string // by label
	set     map[key.Public]string
	banned  map[key.Public]string // by reason
}

// lines are what the list has to say, in an order that can be compared.
func (m *model) lines(path string) (all []string) {
	for k := range m.banned {
		all = append(all, fmt.Sprint(k, Banned, m.banned[k]))
	}
	for from, in := range map[string]map[key.Public]string{admit.FromAllow: m.allowed, admit.FromImport + "s": m.set} {
		for k, label := range in {
			if _, banned := m.banned[k]; !banned {
				all = append(all, fmt.Sprint(k, Allowed, label, from))
			}
		}
	}
	for k := range m.file {
		if _, banned := m.banned[k]; !banned {
			all = append(all, fmt.Sprint(k, Allowed, "staff", path))
		}
	}
	slices.Sort(all)
	return all
}

// Whatever is done in whatever order, the list says what a plain model does, and a dry
// run says what the import then does.
func TestChainIsListed(t *testing.T) {
	keys := newKeys(12)
	m := &model{map[key.Public]bool{}, map[key.Public]string{}, map[key.Public]string{}, map[key.Public]string{}}
	path := filepath.Join(t.TempDir(), "keys")
	var text strings.Builder
	for _, k := range keys[:4] {
		m.file[k] = true
		fmt.Fprintln(&text, k, "label=staff")
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	c := chainOf(t, path)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		k, label := keys[random.IntN(len(keys))], fmt.Sprint("l", n)
		var err error
		want := true
		switch random.IntN(5) {
		case 0:
			err = c.Do(Allow, []key.Public{k}, time.Time{}, Order{Label: label})[0]
			if _, banned := m.banned[k]; banned {
				want = false
			} else {
				m.allowed[k] = label
			}
		case 1:
			err = c.Do(Remove, []key.Public{k}, time.Time{}, Order{})[0]
			_, a := m.allowed[k]
			_, b := m.set[k]
			want = a || b
			delete(m.allowed, k)
			delete(m.set, k)
		case 2:
			err = c.Do(Ban, []key.Public{k}, time.Now().Add(time.Hour), Order{Why: label})[0]
			m.banned[k] = label
		case 3:
			err = c.Do(Unban, []key.Public{k}, time.Time{}, Order{})[0]
			_, want = m.banned[k]
			delete(m.banned, k)
		case 4:
			m.imports(t, c, keys, random, label)
		}
		if (err == nil) != want {
			t.Fatalf("step %d: %v, want it done: %t", n, err, want)
		}
		var got []string
		all := make(map[key.Public][]Line)
		for l := range c.Lines(nil) {
			all[l.Key] = append(all[l.Key], l)
			if l.State == Banned {
				got = append(got, fmt.Sprint(l.Key, l.State, l.Why))
			} else {
				got = append(got, fmt.Sprint(l.Key, l.State, l.Label, l.From))
			}
		}
		slices.Sort(got)
		if want := m.lines(path); !slices.Equal(got, want) {
			t.Fatalf("step %d: the list is\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, k := range keys {
			if alone := slices.Collect(c.Lines([]key.Public{k})); !slices.Equal(alone, all[k]) {
				t.Fatalf("step %d: of one key there is\n%+v\nwant\n%+v", n, alone, all[k])
			}
		}
	}
	if errs := c.Do("odd", keys[:1], time.Time{}, Order{}); len(errs) != 1 || errs[0] == nil {
		t.Error("an order that there is none of")
	}
}

func (m *model) imports(t *testing.T, c Access, keys []key.Public, random *rand.Rand, label string) {
	t.Helper()
	var entries []Entry
	next := map[key.Public]string{}
	for _, k := range keys {
		if random.IntN(2) == 0 {
			next[k] = label
			if old, here := m.set[k]; here && random.IntN(2) == 0 {
				next[k] = old
			}
			entries = append(entries, Entry{Key: k, Label: next[k]})
		}
	}
	order := ImportOrder{Set: "s", Force: true, DryRun: true}
	would, err := c.Import(order, entries)
	if err != nil {
		t.Fatal(err)
	}
	order.DryRun = false
	did, err := c.Import(order, entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, both := range [][2][]Came{{would.Came, did.Came}, {would.Went, did.Went}, {would.Changed, did.Changed}} {
		for _, all := range both {
			slices.SortFunc(all, func(a, b Came) int { return a.Key.Compare(b.Key) })
		}
		if !slices.Equal(both[0], both[1]) {
			t.Errorf("would be %v, and was %v", both[0], both[1])
		}
	}
	if would.Same != did.Same || did.Same+len(did.Came)+len(did.Changed) != len(entries) {
		t.Errorf("%d and %d stayed, of %d", would.Same, did.Same, len(entries))
	}
	m.set = next
}

// A list that was cut off on its way locks nobody out.
func TestMostOfASetStays(t *testing.T) {
	for _, test := range []struct {
		before, after int
		force         bool
		want          string
	}{
		{20, 10, false, ""},
		{20, 9, false, `11 of the 20 keys in the set "s" would go: nothing was changed`},
		{20, 9, true, ""},
		{9, 1, false, ""},
		{9, 0, false, `the import has no keys, and 9 in the set "s" would go: nothing was changed`},
		{9, 0, true, ""},
	} {
		c, keys := chainOf(t), newKeys(test.before)
		entries := make([]Entry, len(keys))
		for i, k := range keys {
			entries[i].Key = k
		}
		if _, err := c.Import(ImportOrder{Set: "s"}, entries); err != nil {
			t.Fatal(err)
		}
		_, err := c.Import(ImportOrder{Set: "s", Force: test.force}, entries[:test.after])
		left := 0
		for range c.Lines(nil) {
			left++
		}
		switch {
		case test.want == "" && (err != nil || left != test.after):
			t.Errorf("%+v: %v, %d are left", test, err, left)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || left != test.before):
			t.Errorf("%+v: %v, %d are left", test, err, left)
		}
	}
}

// millionKeys is a file with a million.
func millionKeys(b *testing.B) (path string) {
	path = filepath.Join(b.TempDir(), "keys")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1_000_000 {
		fmt.Fprintln(f, key.Public{1, byte(i), byte(i >> 8), byte(i >> 16)}, "label=staff")
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkLine is what a list of a million keys says of one of them.
func BenchmarkLine(b *testing.B) {
	h := New(Config{Peers: &crowd{}, Access: chainOf(b, millionKeys(b))})
	k := key.Public{1, 0x3f, 0x42, 0x0f} // the last
	for b.Loop() {
		if line, _ := h.Line(k); line == nil || line.Label != "staff" {
			b.Fatal(line)
		}
	}
}

// BenchmarkList is a list of a million keys in a file, on its way to a command.
func BenchmarkList(b *testing.B) {
	c := at(b, New(Config{Peers: &crowd{}, Access: chainOf(b, millionKeys(b))}))
	for b.Loop() {
		n := 0
		if err := c.Lines(b.Context(), Filter{}, func(Line) error { n++; return nil }); err != nil || n != 1_000_000 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkImport is an import of 300,000 keys, from the command to the book.
func BenchmarkImport(b *testing.B) {
	entries := make([]Entry, 300_000)
	for i := range entries {
		entries[i] = Entry{Key: key.Public{1, byte(i), byte(i >> 8), byte(i >> 16)}, Name: fmt.Sprint("host-", i)}
	}
	c := at(b, New(Config{Peers: &crowd{}, Access: chainOf(b)}))
	n := 0
	for b.Loop() {
		n++
		done, err := c.Import(b.Context(), ImportOrder{Set: fmt.Sprint("s", n%2)}, entries)
		if err != nil || done.Keys != len(entries) {
			b.Fatal(done.Keys, err)
		}
	}
}
