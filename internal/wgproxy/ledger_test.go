package wgproxy

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/detour-relay/detour/key"
)

func at(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(port))
}
func own(port int) netip.AddrPort { return netip.AddrPortFrom(loopback, uint16(port)) }

var nowhere netip.AddrPort

func numbered(n byte) key.Public { return key.Public{n} }

func TestPlan(t *testing.T) {
	k := numbered(1)
	for name, c := range map[string]struct {
		before ledger
		found  netip.AddrPort
		after  entry
		isSet  bool
		isMove bool
	}{
		"a new peer":               {ledger{}, at(1), entry{own(1), at(1)}, true, false},
		"one without an endpoint":  {ledger{}, nowhere, entry{own(1), nowhere}, true, false},
		"nothing has changed":      {ledger{k: {own(1), at(1)}}, own(1), entry{own(1), at(1)}, false, false},
		"somebody has set it":      {ledger{k: {own(1), at(1)}}, at(2), entry{own(1), at(2)}, true, true},
		"to where it was before":   {ledger{k: {own(1), at(1)}}, at(1), entry{own(1), at(1)}, true, false},
		"another stand-in":         {ledger{k: {own(9), at(1)}}, own(9), entry{own(1), at(1)}, true, false},
		"and it had none":          {ledger{k: {own(9), nowhere}}, own(9), entry{own(1), nowhere}, true, false},
		"and somebody has set it":  {ledger{k: {own(9), at(1)}}, at(2), entry{own(1), at(2)}, true, true},
		"who is gone is forgotten": {ledger{numbered(2): {own(2), at(2)}, k: {own(1), at(1)}}, own(1), entry{own(1), at(1)}, false, false},
	} {
		set, moves := c.before.plan(map[key.Public]netip.AddrPort{k: c.found}, map[key.Public]netip.AddrPort{k: own(1)})
		if want := (ledger{k: c.after}); !reflect.DeepEqual(c.before, want) {
			t.Errorf("%s: the ledger is %v, want %v", name, c.before, want)
		}
		if c.isSet != (set[k] == own(1)) || c.isMove != (len(moves) == 1) {
			t.Errorf("%s: sets %v, moves %v", name, set, moves)
		}
	}
}

// Whatever happens to endpoints, each peer has in the end what it was given last by
// somebody else than us, unless it was given nothing. Once in a while we die.
func TestLedgerAgainstAModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		found, theirs, l := make(map[key.Public]netip.AddrPort), make(map[key.Public]netip.AddrPort), make(ledger)
		stand := make(map[key.Public]netip.AddrPort)
		for range 50 {
			k := numbered(byte(1 + random.IntN(4)))
			switch _, there := found[k]; {
			case !there:
				theirs[k] = []netip.AddrPort{nowhere, at(1), at(2)}[random.IntN(3)]
				found[k] = theirs[k]
			case random.IntN(4) == 0:
				delete(found, k)
				delete(theirs, k)
			case random.IntN(3) == 0:
				theirs[k] = at(1 + random.IntN(3))
				found[k] = theirs[k]
			}
			wanted := make(map[key.Public]netip.AddrPort)
			for k := range found {
				if !stand[k].IsValid() || random.IntN(20) == 0 {
					stand[k] = own(1 + random.IntN(60000))
				}
				wanted[k] = stand[k]
			}
			set, _ := l.plan(found, wanted)
			maps.Copy(found, set)
			if !maps.Equal(found, wanted) {
				t.Fatalf("the peers are at %v, want %v", found, wanted)
			}
			if random.IntN(5) > 0 {
				continue
			}
			set, left := l.undo(found)
			maps.Copy(found, set)
			for k, at := range found {
				if theirs[k].IsValid() && at != theirs[k] || !theirs[k].IsValid() && left[k].Given != at {
					t.Fatalf("in the end %v is at %v, want %v (left %v)", k, at, theirs[k], left)
				}
			}
			l = left
		}
	}
}

func TestNote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "note")
	l, err := readNote(path)
	if err != nil || len(l) != 0 {
		t.Fatalf("without a note: %v, %v", l, err)
	}
	want := ledger{numbered(1): {own(1), at(1)}, numbered(2): {own(2), nowhere}, numbered(3): {own(3), netip.MustParseAddrPort("[fe80::1%eth0]:51820")}}
	if err := want.write(path); err != nil {
		t.Fatal(err)
	}
	if l, err = readNote(path); err != nil || !reflect.DeepEqual(l, want) {
		t.Errorf("%v, %v; want %v", l, err, want)
	}
	for range 2 {
		if err := (ledger{}).write(path); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note of nothing: %v", err)
	}
	for _, text := range []string{"", "{}", "hello", `{"detour_wg":2}`, `{"detour_wg":1,"peers":{"nodekey:00":{}}}`,
		`{"detour_wg":1,"peers":{"` + numbered(1).String() + `":{"before":"192.0.2.1:1"}}}`} {
		if l, err := parseNote("note", []byte(text)); err == nil {
			t.Errorf("%q is taken: %v", text, l)
		}
	}
}

func FuzzParseNote(f *testing.F) {
	f.Add([]byte(`{"detour_wg":1,"peers":{"` + numbered(1).String() + `":{"given":"127.0.0.1:1","before":"192.0.2.1:1"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseNote("note", text)
		for k, e := range l {
			if err != nil || k.IsZero() || !e.Given.IsValid() {
				t.Errorf("%q: %v (%v)", text, l, err)
			}
		}
	})
}
