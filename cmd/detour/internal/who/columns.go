// Package who shows who uses a relay: the columns that connections have, a table that
// fits its terminal, and CSV. What others have chosen, names of programs and labels, is no
// order to a terminal and no formula of a spreadsheet.
package who

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/relay"
)

// A Column is one column of who uses a relay: what it is called in a table, and by
// which column of package clients it is sorted; empty: not at all.
type Column struct {
	Name  string
	By    string
	Right bool // numbers stand below each other

	// Rank is in which order columns give way on narrow terminals: the highest first.
	Rank int

	Cell func(p *Row, now time.Time) string
	CSV  func(p *Row) string // nil: as the cell
}

// A Row is a connection, and how many bytes a second it has in each direction, where
// somebody watches.
type Row struct {
	relay.PeerState
	In, Out float64
}

// Rows are connections that nobody watches.
func Rows(peers []relay.PeerState) []Row {
	rows := make([]Row, len(peers))
	for i := range peers {
		rows[i].PeerState = peers[i]
	}
	return rows
}

// Key is shortened before any column gives way.
const Key = "key"

// All are the columns of a list, in the order of tables.
var All = []Column{
	{Name: Key, By: "key", Cell: func(p *Row, _ time.Time) string { return p.Peer.String() }},
	{Name: "address", By: "ip", Rank: 4, Cell: func(p *Row, _ time.Time) string { return addressOf(p.Addr) }},
	{
		Name: "connected", By: "connected", Right: true, Rank: 6, Cell: func(p *Row, now time.Time) string { return Lasting(now.Sub(p.Since)) },
		CSV: func(p *Row) string { return p.Since.UTC().Format(time.RFC3339) },
	},
	{Name: "label", By: "label", Rank: 5, Cell: func(p *Row, _ time.Time) string { return p.Group }},
	{Name: "in", By: "rx", Right: true, Rank: 1, Cell: func(p *Row, _ time.Time) string { return Size(p.Received) }, CSV: decimal(func(p *Row) uint64 { return p.Received })},
	{Name: "out", By: "tx", Right: true, Rank: 2, Cell: func(p *Row, _ time.Time) string { return Size(p.Sent) }, CSV: decimal(func(p *Row) uint64 { return p.Sent })},
	{Name: "app", By: "app", Rank: 3, Cell: func(p *Row, _ time.Time) string { return p.AppName }},
	{Name: "dropped", By: "dropped", Right: true, Rank: 7, Cell: count(func(p *Row) uint64 { return p.Dropped.Packets })},
	{
		Name: "rtt", By: "rtt", Right: true, Rank: 8, Cell: func(p *Row, _ time.Time) string { return Delay(p.RoundTrip) },
		CSV: func(p *Row) string { return seconds(p.RoundTrip) },
	},
	{Name: "wait", By: "wait", Right: true, Rank: 10, Cell: func(p *Row, _ time.Time) string { return Delay(clients.Wait(&p.PeerState)) }, CSV: func(p *Row) string { return seconds(clients.Wait(&p.PeerState)) }},
	{Name: "queued", By: "queued", Right: true, Rank: 11, Cell: count(func(p *Row) uint64 { return uint64(max(p.Queued, 0)) })},
	{Name: "flags", Rank: 9, Cell: func(p *Row, _ time.Time) string { return flagsOf(p) }},
	{Name: "packets-in", By: "rxpkts", Right: true, Rank: 13, Cell: count(func(p *Row) uint64 { return p.ReceivedPackets })},
	{Name: "packets-out", By: "txpkts", Right: true, Rank: 14, Cell: count(func(p *Row) uint64 { return p.SentPackets })},
	{Name: "senders", By: "senders", Right: true, Rank: 12, Cell: count(func(p *Row) uint64 { return uint64(max(p.Senders, 0)) })},
	{Name: "limited", By: "limited", Right: true, Rank: 15, Cell: func(p *Row, _ time.Time) string { return Delay(limited(p)) }, CSV: func(p *Row) string { return seconds(limited(p)) }},
	{Name: "version", By: "version", Right: true, Rank: 16, Cell: func(p *Row, _ time.Time) string { return strconv.Itoa(p.Version) }},
	{Name: "conn", By: "conn", Right: true, Rank: 17, Cell: count(func(p *Row) uint64 { return p.ID })},
}

func limited(p *Row) time.Duration { return time.Duration(p.LimitedMS) * time.Millisecond }

// live are the columns that only who watches has.
var live = []Column{
	{Name: "in/s", By: clients.ByRateIn, Right: true, Cell: func(p *Row, _ time.Time) string { return PerSecond(p.In) }},
	{Name: "out/s", By: clients.ByRateOut, Right: true, Cell: func(p *Row, _ time.Time) string { return PerSecond(p.Out) }},
}

// Live are the columns for who watches: the key, rates, and the others.
func Live() []Column { return slices.Concat(All[:1], live, All[1:]) }

// ByRate is the name of an order that has no column: in/s and out/s together.
const ByRate = "rate"

// Sortable are the names that --sort takes for these columns.
func Sortable(columns []Column) (names []string) {
	for _, c := range columns {
		if c.By != "" {
			names = append(names, c.Name)
		}
	}
	return names
}

// SortOf is what package clients calls the order that --sort names.
func SortOf(columns []Column, text string) (string, error) {
	name := strings.TrimPrefix(text, "-")
	dash := text[:len(text)-len(name)]
	for _, c := range columns {
		if c.Name == name && c.By != "" {
			return dash + c.By, nil
		}
	}
	return "", cli.Usagef("--sort %q: choose %s; with a dash before it (--sort=-in) the most comes first", cli.Clean(text, 40), strings.Join(Sortable(columns), ", "))
}

func count(of func(*Row) uint64) func(*Row, time.Time) string {
	return func(p *Row, _ time.Time) string { return strconv.FormatUint(of(p), 10) }
}

func decimal(of func(*Row) uint64) func(*Row) string {
	return func(p *Row) string { return strconv.FormatUint(of(p), 10) }
}

// ShortKey is as much of a key as tells it from others, and is found by --key.
func ShortKey(p *Row) string { return hex.EncodeToString(p.Peer[:6]) }

func addressOf(addr netip.AddrPort) string {
	switch {
	case addr.Port() != 0:
		return addr.String()
	case addr.IsValid() && !addr.Addr().IsUnspecified():
		return addr.Addr().String()
	}
	return ""
}

// Derper are those that a derper knows.
func Derper() []Column {
	return slices.DeleteFunc(slices.Clone(All), func(c Column) bool { return c.By != "" && !clients.DerperShows(c.By) })
}

// flagsOf has the words of "peers list URL", and those that only the relay knows.
func flagsOf(p *Row) string {
	var words []string
	for _, f := range []struct {
		is   bool
		word string
	}{
		{p.Home, "home"}, {p.Sibling, "mesh"}, {p.Prober, "prober"}, {p.IdealNode != "", "not-ideal"}, {p.Duplicate, "duplicate"},
		{p.Duplicate && !p.Active, "inactive"}, {p.Resting, "resting"},
	} {
		if f.is {
			words = append(words, f.word)
		}
	}
	return strings.Join(words, ",")
}
