package who

import (
	"bytes"
	"encoding/csv"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func someRows() []Row {
	at := netip.MustParseAddrPort("[2001:db8::1]:65535")
	return []Row{
		{PeerState: relay.PeerState{ID: 1, Peer: key.Public{0xab, 0xcd, 1, 2, 3, 4, 5}, Addr: at, AppName: "界界界", Received: 1 << 40, Group: "=SUM(A1)", Home: true, RoundTrip: 1500 * time.Microsecond}},
		{PeerState: relay.PeerState{ID: 2, AppName: "\x1b[2J\u202eevil\nsecond", Sent: 999, SentPackets: 2, Waited: 3 * time.Second}, In: 2048},
	}
}

// A table is as wide as its window at most, whole as long as it fits, and its lines are of
// one width.
func TestTableFits(t *testing.T) {
	now := time.Unix(1000, 0)
	for width := 1; width < 400; width++ {
		table := New(someRows(), Live(), now, width)
		for _, line := range append(table.Lines(), table.Head()) {
			if n := ansi.StringWidth(line); n > width && len(table.Columns) > 1 {
				t.Fatalf("%d columns of %d: %q", n, width, line)
			}
			if strings.ContainsAny(line, "\x1b\n\u202e") {
				t.Fatalf("an order for the terminal: %q", line)
			}
		}
	}
	if whole := New(someRows(), Live(), now, 0); len(whole.Columns) != len(Live()) || !strings.Contains(whole.Lines()[0], "nodekey:abcd0102030405") {
		t.Errorf("something is missing: %q", whole.Lines()[0])
	}
	if narrow := New(someRows(), Live(), now, 40); narrow.Columns[0].Name != Key || !strings.HasPrefix(narrow.Lines()[0], "abcd01020304 ") {
		t.Errorf("%q", narrow.Lines()[0])
	}
}

// What package clients sorts by, each column can be named by, and the other way round.
func TestEachOrderHasAColumn(t *testing.T) {
	var named []string
	for _, name := range Sortable(All) {
		by, err := SortOf(All, "-"+name)
		if err != nil || new(clients.Query).SortBy(by) != nil {
			t.Errorf("%s: %q, %v", name, by, err)
		}
		named = append(named, strings.TrimPrefix(by, "-"))
	}
	slices.Sort(named)
	if want := slices.Sorted(slices.Values(clients.Columns())); !slices.Equal(named, want) {
		t.Errorf("%q, want %q", named, want)
	}
	for _, wrong := range []string{"", "-", "--in", "flags", "IN"} {
		if by, err := SortOf(All, wrong); err == nil {
			t.Errorf("%q is %q", wrong, by)
		}
	}
}

// Cells are exact numbers, and nothing in them is a formula.
func TestCSVIsExactAndPlain(t *testing.T) {
	var out bytes.Buffer
	if err := WriteCSV(&out, someRows(), All); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 3 || len(rows[0]) != len(All) {
		t.Fatalf("%q, %v", rows, err)
	}
	cell := func(row int, name string) string { return rows[row][slices.Index(rows[0], name)] }
	for _, want := range []struct {
		row        int
		name, text string
	}{
		{1, "in", "1099511627776"}, {1, "label", "'=SUM(A1)"}, {1, "rtt", "0.0015"}, {1, "flags", "home"}, {1, "address", "[2001:db8::1]:65535"},
		{2, "app", "?[2J?evil second"}, {2, "wait", "1.5"}, {2, "out", "999"}, {2, "address", ""},
	} {
		if got := cell(want.row, want.name); got != want.text {
			t.Errorf("%s: %q, want %q", want.name, got, want.text)
		}
	}
	for _, formula := range []string{"=1", "+1", "-1", "@x", "|x", "%x", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠x"} {
		if got := plainCell(formula); strings.ContainsAny(got[:1], "=+-@|%\t\r") || !strings.HasPrefix(got, "'") {
			t.Errorf("%q is %q", formula, got)
		}
	}
}

func TestShortForms(t *testing.T) {
	for text, want := range map[string]string{
		Size(0): "0 B", Size(999): "999 B", Size(1000): "1.0 KB", Size(1 << 20): "1.0 MB", Size(1<<64 - 1): "16.0 EB",
		Lasting(-1): "0s", Lasting(59 * time.Second): "59s", Lasting(61 * time.Second): "1m1s", Lasting(25 * time.Hour): "1d1h", Lasting(2*time.Hour + 3*time.Minute): "2h3m",
		Delay(0): "", Delay(1500 * time.Microsecond): "1.5ms", Delay(90 * time.Second): "90.0s", PerSecond(0): "", PerSecond(2048): "2.0 KB/s",
	} {
		if text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}
