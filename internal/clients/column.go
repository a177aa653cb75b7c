package clients

import (
	"cmp"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A Column is what connections are sorted by.
type Column struct {
	Name  string
	Moves bool // it changes with each packet

	compare func(a, b *relay.PeerState) int
	text    func(p *relay.PeerState) string

	// read sets in a mark what text has said; desc and now are those of the query.
	read func(mark *relay.PeerState, text string, desc bool, now time.Time) error
}

// ByKey is what a query sorts by that does not say.
const ByKey = "key"

// byConn has no cursor but the number, which the others have beside theirs.
const byConn = "conn"

// theirs are the columns that derper has, under its names.
var theirs = []Column{
	{
		Name:    ByKey,
		compare: func(a, b *relay.PeerState) int { return a.Peer.Compare(b.Peer) },
		text:    func(p *relay.PeerState) string { return p.Peer.String() },
		read: func(mark *relay.PeerState, text string, _ bool, _ time.Time) (err error) {
			mark.Peer, err = key.ParsePublic(text)
			return err
		},
	},
	{
		Name:    "ip",
		compare: func(a, b *relay.PeerState) int { return a.Addr.Compare(b.Addr) },
		text:    func(p *relay.PeerState) string { return p.Addr.String() },
		read:    readAddr,
	},
	{
		Name:    byConn,
		compare: func(a, b *relay.PeerState) int { return 0 }, // numbers decide wherever all else is equal
		text:    func(p *relay.PeerState) string { return strconv.FormatUint(p.ID, 10) },
		read: func(mark *relay.PeerState, text string, _ bool, _ time.Time) error {
			return readConn(mark, text)
		},
	},
	{
		Name:    "connected",
		compare: func(a, b *relay.PeerState) int { return a.Since.Compare(b.Since) },
		text:    func(p *relay.PeerState) string { return strconv.FormatInt(p.Since.UnixNano(), 10) },
		read:    readSince,
	},
	count("rx", func(p *relay.PeerState) *uint64 { return &p.Received }),
	count("tx", func(p *relay.PeerState) *uint64 { return &p.Sent }),
	count("rxpkts", func(p *relay.PeerState) *uint64 { return &p.ReceivedPackets }),
	count("txpkts", func(p *relay.PeerState) *uint64 { return &p.SentPackets }),
}

// ours are all.
var ours = append(theirs[:len(theirs):len(theirs)],
	text("label", func(p *relay.PeerState) *string { return &p.Group }),
	text("app", func(p *relay.PeerState) *string { return &p.AppName }),
	number("version", func(p *relay.PeerState) *int { return &p.Version }),
	count("dropped", func(p *relay.PeerState) *uint64 { return &p.Dropped.Packets }),
	number("queued", func(p *relay.PeerState) *int { return &p.Queued }),
	number("rtt", func(p *relay.PeerState) *time.Duration { return &p.RoundTrip }),
	waits(),
	number("senders", func(p *relay.PeerState) *int { return &p.Senders }),
	number("limited", func(p *relay.PeerState) *int64 { return &p.LimitedMS }),
)

// Columns are the names of all.
func Columns() (names []string) {
	for _, c := range ours {
		names = append(names, c.Name)
	}
	return names
}

func column(of []Column, name string) (Column, bool) {
	for _, c := range of {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

func count(name string, of func(*relay.PeerState) *uint64) Column {
	return Column{
		Name: name, Moves: true,
		compare: func(a, b *relay.PeerState) int { return cmp.Compare(*of(a), *of(b)) },
		text:    func(p *relay.PeerState) string { return strconv.FormatUint(*of(p), 10) },
		read: func(mark *relay.PeerState, text string, _ bool, _ time.Time) (err error) {
			*of(mark), err = strconv.ParseUint(text, 10, 64)
			return errNumber(err)
		},
	}
}

func number[T ~int | ~int64](name string, of func(*relay.PeerState) *T) Column {
	return Column{
		Name: name, Moves: true,
		compare: func(a, b *relay.PeerState) int { return cmp.Compare(*of(a), *of(b)) },
		text:    func(p *relay.PeerState) string { return strconv.FormatInt(int64(*of(p)), 10) },
		read: func(mark *relay.PeerState, text string, _ bool, _ time.Time) error {
			n, err := strconv.ParseInt(text, 10, 64)
			*of(mark) = T(n)
			return errNumber(err)
		},
	}
}

func text(name string, of func(*relay.PeerState) *string) Column {
	return Column{
		Name:    name,
		compare: func(a, b *relay.PeerState) int { return cmp.Compare(*of(a), *of(b)) },
		text:    func(p *relay.PeerState) string { return *of(p) },
		read: func(mark *relay.PeerState, text string, _ bool, _ time.Time) error {
			*of(mark) = text
			return nil
		},
	}
}

// Wait is how long a packet to a connection has waited in its outbox, on average.
func Wait(p *relay.PeerState) time.Duration {
	if p.SentPackets == 0 {
		return 0
	}
	return time.Duration(uint64(p.Waited) / p.SentPackets)
}

func waits() Column {
	return Column{
		Name: "wait", Moves: true,
		compare: func(a, b *relay.PeerState) int { return cmp.Compare(Wait(a), Wait(b)) },
		text:    func(p *relay.PeerState) string { return strconv.FormatInt(int64(Wait(p)), 10) },
		read: func(mark *relay.PeerState, text string, _ bool, _ time.Time) error {
			n, err := strconv.ParseInt(text, 10, 64)
			mark.Waited, mark.SentPackets = time.Duration(n), 1
			return errNumber(err)
		},
	}
}

func errNumber(err error) error {
	if err != nil {
		return errors.New("want a number")
	}
	return nil
}

// readConn is for people, too, who may say -1 for the beginning.
func readConn(mark *relay.PeerState, text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	mark.ID = uint64(max(n, 0))
	return errNumber(err)
}

// readAddr takes an address without a port for all that come from there.
func readAddr(mark *relay.PeerState, text string, desc bool, _ time.Time) (err error) {
	if mark.Addr, err = netip.ParseAddrPort(text); err == nil {
		return nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return errors.New("want an address, with its port or without")
	}
	last := uint16(0xffff)
	if desc {
		last = 0
	}
	mark.Addr = netip.AddrPortFrom(addr, last)
	return nil
}

// readSince takes a moment in nanoseconds, or how long ago that was.
func readSince(mark *relay.PeerState, text string, _ bool, now time.Time) error {
	if ns, err := strconv.ParseInt(text, 10, 64); err == nil {
		mark.Since = time.Unix(0, ns)
		return nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("want nanoseconds since 1970, or a time such as 30m")
	}
	mark.Since = now.Add(-ago)
	return nil
}
