package coordstate

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
)

func TestCursorsComeBack(t *testing.T) {
	for _, c := range []Cursor{{}, {1, 2, 3, 4, 5, 6}, {^uint32(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}} {
		if got, ok := ParseCursor(c.Text()); !ok || got != c {
			t.Errorf("%+v, want %+v", got, c)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add(Cursor{1, 2, 3, 4, 5, 6}.Text())
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := ParseCursor(text)
		if !ok && c != (Cursor{}) {
			t.Errorf("what cannot be read is %+v", c)
		}
		if back, again := ParseCursor(c.Text()); !again || back != c {
			t.Errorf("%+v, want %+v", back, c)
		}
	})
}

// Whatever stands in a record, it is taken or left out, and nothing panics.
func FuzzRecords(f *testing.F) {
	f.Add("t.a", []byte(`{"name":"x","claims":[{}],"gone":[{}],"invites":[{}]}`))
	f.Add("m.a."+strings.Repeat("0", 52), []byte(`{"n":"x","i":1}`))
	f.Add("map", []byte(`{"deflate":"AAAA"}`))
	f.Add("r.x", []byte(`{"hash":"00"}`))
	f.Fuzz(func(t *testing.T, k string, value []byte) {
		s := fill(1, 2)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(value) == 0 {
			value = nil
		}
		s.apply(s.hard, coordstore.Entry{Key: k, Value: value, Revision: 1000})
		s.apply(s.softs[0], coordstore.Entry{Key: k, Value: value, Revision: 1000})
		for _, t := range s.tailnets {
			for _, m := range t.members {
				if m.counts() {
					appendPeer(nil, m)
				}
			}
		}
	})
}

func TestLabel(t *testing.T) {
	for wanted, want := range map[string]string{
		"Anna's Laptop": "annas-laptop", "": "", "---": "", "a--b": "a-b", "host.example.com": "host-example-com", "ÄÖ": "", "x ": "x", "_x_": "x",
		strings.Repeat("a", 99): strings.Repeat("a", 63), strings.Repeat("a", 62) + "-b": strings.Repeat("a", 62),
	} {
		if got := Label(wanted); got != want {
			t.Errorf("%q is %q, want %q", wanted, got, want)
		}
	}
}

func FuzzLabel(f *testing.F) {
	f.Add("Anna's Laptop")
	f.Fuzz(func(t *testing.T, wanted string) {
		l := Label(wanted)
		if l != "" && !IsLabel(l) || len(l) > coordapi.MostName {
			t.Errorf("%q is %q, which is no label", wanted, l)
		}
		if l == "" {
			return
		}
		taken := map[string]bool{l: true, l + "-2": true}
		if n := Numbered(l, func(s string) bool { return taken[s] }); !IsLabel(n) || taken[n] {
			t.Errorf("%q is numbered as %q", l, n)
		}
	})
}

func TestAddresses(t *testing.T) {
	r := TailnetRecord{ULA: "0123456789"}
	if got, want := r.Addresses(1), []netip.Addr{netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("fd01:2345:6789::1")}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for index, usable := range map[uint32]bool{0: false, 1: true, mostIndex: true, mostIndex + 1: false, 36<<16 + 100<<8 + 100: false} {
		if Usable(index) != usable {
			t.Errorf("%d, %v: %v", index, address4(index), !usable)
		}
	}
	if last := address4(mostIndex); last != netip.MustParseAddr("100.127.255.254") {
		t.Errorf("the last is %v", last)
	}
}

// Lines that are put together by hand say what json.Marshal says.
func TestLines(t *testing.T) {
	s := fill(1, 3)
	for _, net := range s.tailnets {
		for i, m := range net.members {
			m.home = int32(i)
			if i == 0 {
				m.disco = [32]byte{}
			}
			p := m.peer()
			want, _ := json.Marshal(coordapi.Event{Type: coordapi.EventPeer, Peer: &p})
			if got := string(appendPeer(nil, m)); got != string(want)+"\n" {
				t.Errorf("%s, want %s", got, want)
			}
			var e coordapi.Event
			self := asSelf(appendPeer(nil, m))
			if err := json.Unmarshal(slices.Concat(self...), &e); err != nil || e.Type != coordapi.EventSelf || !reflect.DeepEqual(*e.Peer, p) {
				t.Errorf("%+v, %v", e, err)
			}
			gone, _ := json.Marshal(coordapi.Event{Type: coordapi.EventGone, Key: m.key})
			if got := string(goneLine(m.key)); got != string(gone)+"\n" {
				t.Errorf("%s, want %s", got, gone)
			}
		}
	}
}

func TestMapsComeBack(t *testing.T) {
	m := &derpmap.Map{Regions: map[int]*derpmap.Region{900: {RegionID: 900, RegionCode: "a", RegionName: "A",
		Nodes: []*derpmap.Node{{Name: "900a", RegionID: 900, HostName: "a.example.com"}}}}}
	rec, err := EncodeMap(m, 7, "x")
	if err != nil {
		t.Fatal(err)
	}
	got, err := rec.Map()
	if err != nil || MapVersion(got) != MapVersion(m) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (MapRecord{Deflate: []byte("x")}).Map(); err == nil {
		t.Error("garbage is a map")
	}
}
