package admit

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unsafe"

	"github.com/detour-relay/detour/key"
)

const aKey = "nodekey:a98ae75c58834014a6c389357fc1d624eef146ba9d5f7c338304d118eb54871a"

// list reads a text as a file, which is another way than parseKeys goes if it is large.
func list(t *testing.T, text string) (*keyList, error) {
	t.Helper()
	return loadKeys(writeFile(t, "keys", text))
}

func TestKeyListsAreReadAsPeopleWriteThem(t *testing.T) {
	plain := aKey + " label=alice until=2090-01-31 # laptop"
	wide := utf16.Encode([]rune("\ufeff" + plain + "\r\n"))
	utf16le := new(strings.Builder)
	for _, u := range wide {
		utf16le.Write([]byte{byte(u), byte(u >> 8)})
	}
	filler := strings.Repeat("# filler\n", 4000) // so that it is read in pieces
	end := time.Date(2090, 2, 1, 0, 0, 0, 0, time.UTC)
	for name, text := range map[string]string{
		"as it is":          plain,
		"newline":           plain + "\n",
		"CRLF":              "# who\r\n" + plain + "\r\n\r\n",
		"CR":                "# who\r" + plain + "\r",
		"byte order mark":   "\ufeff" + plain,
		"UTF-16":            utf16le.String(),
		"tabs":              "\t" + strings.ReplaceAll(plain, " ", "\t"),
		"upper-case digits": "nodekey:" + strings.ToUpper(aKey[8:]) + plain[len(aKey):],
		"umlauts":           plain + " Jürgens",
		"RFC 3339":          strings.Replace(plain, "2090-01-31", "2090-02-01T00:00:00Z", 1),
		"another zone":      strings.Replace(plain, "2090-01-31", "2090-02-01T02:00:00+02:00", 1),
		"order":             aKey + " until=2090-01-31 label=alice",
		"no space":          aKey + " until=2090-01-31 label=alice#comment",
		"in pieces":         filler + plain + "\n" + filler,
		"in pieces, CRLF":   strings.ReplaceAll(filler+plain, "\n", "\r\n"),
		"in pieces, marks":  "\ufeff" + filler + plain,
		"CR, large":         strings.ReplaceAll(filler+plain, "\n", "\r"),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := list(t, text)
			if err != nil {
				t.Fatal(err)
			}
			if len(l.set.entries) != 1 {
				t.Fatalf("%d entries", len(l.set.entries))
			}
			e := l.set.entry(l.set.entries[0], "")
			if e.Key.String() != aKey || e.Label != "alice" || !e.Until.Equal(end) {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestKeyListsSayWhatIsWrong(t *testing.T) {
	filler := strings.Repeat("# filler\n", 4000)
	for text, want := range map[string]string{
		"# a\nnodekey:1234":                         ":2: want 64 hex digits, got 4 characters: want nodekey:<64 hex digits>",
		"nodekey:" + strings.Repeat("0", 64):        ":1: the key is all zeros",
		"nodekey:" + strings.Repeat("g", 64):        ":1: want 64 hex digits, and character 1 is none",
		aKey[8:]:                                    ":1: a key without its kind: write nodekey: in front of it",
		"privkey:" + aKey[8:]:                       ":1: a private key stands here",
		aKey + " PrivKey:" + aKey[8:]:               ":1: a private key stands here",
		aKey + " key=privkey:" + aKey[8:]:           ":1: a private key stands here",
		aKey + " until=privkey:" + aKey[8:]:         ":1: a private key stands here",
		"my-privkey:" + aKey[8:]:                    ":1: a private key stands here",
		aKey + " tskey-auth-k1-" + aKey[8:]:         ":1: an auth key or API key of Tailscale",
		"discokey:" + aKey[8:]:                      ":1: a disco key",
		"hello":                                     `:1: "hello" is no key: want nodekey:`,
		aKey + "\n\n" + aKey + " lable=x":           `:3: "lable=x" means nothing here`,
		aKey + " label=":                            `:1: "label=" means nothing here: say which, or leave it out`,
		aKey + " label=a label=b":                   ":1: a second label=: leave one out",
		aKey + " label=a,b":                         ":1: label \"a,b\": want letters",
		aKey + " label=" + strings.Repeat("a", 100): ":1: the label has 100 bytes: want 64 at most",
		aKey + " until=tomorrow":                    `:1: until="tomorrow" is no date: want a day such as`,
		aKey + " until=2027-13-01":                  `:1: until="2027-13-01" is no date`,
		aKey + "\u00a0label=a":                      ":1: a no-break space (U+00A0) is in the way: write an ordinary space",
		aKey + " // mine":                           `:1: "//" means nothing here: want nodekey:<64 hex digits>, and after it label=NAME and until=2027-01-31 if you like; comments begin with #`,
		"\x1f\x8b\x08":                              "this is a gzip file: unpack it with gunzip",
		"{\"a\": 1}":                                `:1: "{\"a\":" is no key`,
		filler + "hello":                            `:4001: "hello" is no key`,
		filler + aKey + " # \xff\n":                 ":4001: byte 0xff is no UTF-8",
		filler + strings.Repeat("x", 5000):          ":4001: a line of more than 4 KiB",
		filler + strings.Repeat("x", 500000):        ":4000: a line that does not end",
		filler + "\x00\x01\x02" + aKey:              ":4001: a NUL byte stands here",
	} {
		_, err := list(t, text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "keys") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
		if err != nil && strings.Contains(strings.ToLower(text), "privkey") && strings.Contains(err.Error(), aKey[8:12]) {
			t.Errorf("a secret is repeated: %v", err)
		}
	}
}

func TestTheLastLineOfAKeyCounts(t *testing.T) {
	l, err := list(t, fmt.Sprintf("%v label=a\n%v\n%v label=b\n%v\n", k(1), k(2), k(1), k(2)))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := l.set.find(k(1)); l.set.labels.name(got.label) != "b" || len(l.set.entries) != 2 {
		t.Errorf("%+v of %d", got, len(l.set.entries))
	}
	if len(l.warns) != 1 || !strings.HasPrefix(l.warns[0], "lines 1 and 3 say different things of [") {
		t.Errorf("warnings %q", l.warns)
	}
}

// What a set finds is what a plain map has.
func TestKeysetIsAMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		var text bytes.Buffer
		model := map[key.Public]Entry{}
		for range random.IntN(300) {
			e := Entry{Key: k(random.IntN(200))}
			fmt.Fprint(&text, e.Key)
			if n := random.IntN(5); n > 0 {
				e.Label = fmt.Sprint("label", n)
				fmt.Fprint(&text, " label=", e.Label)
			}
			if random.IntN(2) == 0 {
				e.Until = time.Date(2030, 1, 1+random.IntN(300), 0, 0, 0, 0, time.UTC)
				fmt.Fprint(&text, " until=", e.Until.AddDate(0, 0, -1).Format(time.DateOnly))
			}
			text.WriteByte('\n')
			model[e.Key] = e
		}
		l, err := parseKeys(text.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if len(l.set.entries) != len(model) {
			t.Fatalf("round %d: %d entries, want %d", round, len(l.set.entries), len(model))
		}
		for n := range 200 {
			want, here := model[k(n)]
			got, found := l.set.find(k(n))
			if found != here || found && l.set.entry(got, "") != want {
				t.Fatalf("round %d, key %d: %+v %v, want %+v %v", round, n, l.set.entry(got, ""), found, want, here)
			}
		}
	}
}

// writeMany makes a file of so many lines.
func writeMany(t testing.TB, lines int, line func(n int, k key.Public) string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "many")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	random := rand.NewChaCha8([32]byte{})
	for n := range lines {
		var k key.Public
		random.Read(k[:])
		w.WriteString(line(n, k))
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func labelled(n int, k key.Public) string {
	return fmt.Sprintf("%v label=machine-%d until=2090-01-31\n", k, n)
}

// A million keys are to take 150 MB at most: 44 bytes an entry, and what labels need,
// each of which may be another.
func TestEntriesAreSmall(t *testing.T) {
	if size := unsafe.Sizeof(listed{}); size > 44 {
		t.Errorf("an entry has %d bytes", size)
	}
	const lines = 100_000
	path := writeMany(t, lines, labelled)
	before := heap()
	l, err := loadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	per := (float64(heap()) - float64(before)) / lines
	if len(l.set.entries) != lines || per > 90 {
		t.Errorf("%d entries of %.0f bytes each, want 90 at most", len(l.set.entries), per)
	}
	runtime.KeepAlive(l)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMillion loads a list of a million keys.
func BenchmarkMillion(b *testing.B) {
	path := writeMany(b, 1_000_000, labelled)
	b.ReportAllocs()
	for b.Loop() {
		l, err := loadKeys(path)
		if err != nil || len(l.set.entries) != 1_000_000 {
			b.Fatal(err)
		}
	}
}

func FuzzKeyList(f *testing.F) {
	for _, seed := range []string{aKey, "# x\n" + aKey + " label=a until=2027-01-31\n", "\xff\xfea\x00", aKey + "\r" + aKey, strings.Repeat("#\n", 3000) + aKey + " until=2027-01-31T15:04:05Z"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := parseKeys(data)
		if err != nil {
			if err.Error() == "" || len(err.Error()) > 1000 {
				t.Errorf("error %q", err)
			}
			return
		}
		var again bytes.Buffer
		for e := range l.set.all("") {
			if err := e.check(); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(&again, e.Key)
			if e.Label != "" {
				fmt.Fprint(&again, " label=", e.Label)
			}
			if !e.Until.IsZero() {
				fmt.Fprint(&again, " until=", e.Until.Format(time.RFC3339))
			}
			again.WriteByte('\n')
		}
		second, err := parseKeys(again.Bytes())
		if err != nil {
			t.Fatalf("%v in %q", err, again.Bytes())
		}
		if len(second.set.entries) != len(l.set.entries) {
			t.Errorf("%d entries, then %d", len(l.set.entries), len(second.set.entries))
		}
	})
}
