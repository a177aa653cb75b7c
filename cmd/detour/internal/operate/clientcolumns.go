package operate

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/relay"
)

// A clientColumn is one column of who uses a relay: what it is called in a table, and by
// which column of package clients it is sorted; empty: not at all.
type clientColumn struct {
	name  string
	by    string
	right bool // numbers stand below each other

	// rank is in which order columns give way on narrow terminals: the highest first.
	rank int

	cell func(p *relay.PeerState, now time.Time) string
	csv  func(p *relay.PeerState) string // nil: as the cell
}

// keyColumn is shortened before any column gives way.
const keyColumn = "key"

// clientColumns are all, in the order of tables.
var clientColumns = []clientColumn{
	{name: keyColumn, by: "key", cell: func(p *relay.PeerState, _ time.Time) string { return p.Peer.String() }},
	{name: "address", by: "ip", rank: 4, cell: func(p *relay.PeerState, _ time.Time) string { return addressOf(p.Addr) }},
	{
		name: "connected", by: "connected", right: true, rank: 6, cell: func(p *relay.PeerState, now time.Time) string { return spanOf(now.Sub(p.Since)) },
		csv: func(p *relay.PeerState) string { return p.Since.UTC().Format(time.RFC3339) },
	},
	{name: "label", by: "label", rank: 5, cell: func(p *relay.PeerState, _ time.Time) string { return p.Group }},
	{name: "in", by: "rx", right: true, rank: 1, cell: func(p *relay.PeerState, _ time.Time) string { return bytesOf(p.Received) }, csv: decimal(func(p *relay.PeerState) uint64 { return p.Received })},
	{name: "out", by: "tx", right: true, rank: 2, cell: func(p *relay.PeerState, _ time.Time) string { return bytesOf(p.Sent) }, csv: decimal(func(p *relay.PeerState) uint64 { return p.Sent })},
	{name: "app", by: "app", rank: 3, cell: func(p *relay.PeerState, _ time.Time) string { return p.AppName }},
	{name: "dropped", by: "dropped", right: true, rank: 7, cell: count(func(p *relay.PeerState) uint64 { return p.Dropped.Packets })},
	{
		name: "rtt", by: "rtt", right: true, rank: 8, cell: func(p *relay.PeerState, _ time.Time) string { return shortTime(p.RoundTrip) },
		csv: func(p *relay.PeerState) string { return seconds(p.RoundTrip) },
	},
	{name: "wait", by: "wait", right: true, rank: 10, cell: func(p *relay.PeerState, _ time.Time) string { return shortTime(clients.Wait(p)) }, csv: func(p *relay.PeerState) string { return seconds(clients.Wait(p)) }},
	{name: "queued", by: "queued", right: true, rank: 11, cell: count(func(p *relay.PeerState) uint64 { return uint64(max(p.Queued, 0)) })},
	{name: "flags", rank: 9, cell: func(p *relay.PeerState, _ time.Time) string { return flagsOf(p) }},
	{name: "packets-in", by: "rxpkts", right: true, rank: 13, cell: count(func(p *relay.PeerState) uint64 { return p.ReceivedPackets })},
	{name: "packets-out", by: "txpkts", right: true, rank: 14, cell: count(func(p *relay.PeerState) uint64 { return p.SentPackets })},
	{name: "senders", by: "senders", right: true, rank: 12, cell: count(func(p *relay.PeerState) uint64 { return uint64(max(p.Senders, 0)) })},
	{name: "limited", by: "limited", right: true, rank: 15, cell: func(p *relay.PeerState, _ time.Time) string { return shortTime(limited(p)) }, csv: func(p *relay.PeerState) string { return seconds(limited(p)) }},
	{name: "version", by: "version", right: true, rank: 16, cell: func(p *relay.PeerState, _ time.Time) string { return strconv.Itoa(p.Version) }},
	{name: "conn", by: "conn", right: true, rank: 17, cell: count(func(p *relay.PeerState) uint64 { return p.ID })},
}

func limited(p *relay.PeerState) time.Duration { return time.Duration(p.LimitedMS) * time.Millisecond }

// sortable are the names that --sort takes.
func sortable() (names []string) {
	for _, c := range clientColumns {
		if c.by != "" {
			names = append(names, c.name)
		}
	}
	return names
}

// sortOf is what package clients calls the order that --sort names.
func sortOf(text string) (string, error) {
	name, desc := strings.CutPrefix(text, "-")
	for _, c := range clientColumns {
		if c.name == name && c.by != "" {
			if desc {
				return "-" + c.by, nil
			}
			return c.by, nil
		}
	}
	return "", cli.Usagef("--sort %q: choose %s; with a dash before it (--sort=-in) the most comes first", cli.Clean(text, 40), strings.Join(sortable(), ", "))
}

func count(of func(*relay.PeerState) uint64) func(*relay.PeerState, time.Time) string {
	return func(p *relay.PeerState, _ time.Time) string { return strconv.FormatUint(of(p), 10) }
}

func decimal(of func(*relay.PeerState) uint64) func(*relay.PeerState) string {
	return func(p *relay.PeerState) string { return strconv.FormatUint(of(p), 10) }
}

// shortKey is as much of a key as tells it from others, and is found by --key.
func shortKey(p *relay.PeerState) string { return hex.EncodeToString(p.Peer[:6]) }

func addressOf(addr netip.AddrPort) string {
	switch {
	case addr.Port() != 0:
		return addr.String()
	case addr.IsValid() && !addr.Addr().IsUnspecified():
		return addr.Addr().String()
	}
	return ""
}

// flagsOf has the words of "peers list URL", and those that only the relay knows.
func flagsOf(p *relay.PeerState) string {
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

// bytesOf is short, also of what a busy relay has carried in a year.
func bytesOf(n uint64) string {
	value, unit := float64(n), ""
	for _, unit = range []string{"B", "KB", "MB", "GB", "TB", "PB", "EB"} {
		if value < 1000 || unit == "EB" {
			break
		}
		value /= 1024
	}
	if unit == "B" {
		return strconv.FormatUint(n, 10) + " B"
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
}

// spanOf has the two largest units of how long something lasts.
func spanOf(d time.Duration) string {
	s := max(int64(d/time.Second), 0)
	two := func(a int64, unit string, b int64, rest string) string {
		return strconv.FormatInt(a, 10) + unit + strconv.FormatInt(b, 10) + rest
	}
	switch {
	case s < 60:
		return strconv.FormatInt(s, 10) + "s"
	case s < 3600:
		return two(s/60, "m", s%60, "s")
	case s < 24*3600:
		return two(s/3600, "h", s/60%60, "m")
	}
	return two(s/86400, "d", s/3600%24, "h")
}

// shortTime is empty where nothing is known.
func shortTime(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Second:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) + "ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }
