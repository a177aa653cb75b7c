package clients

import (
	"cmp"
	"iter"
	"net/url"
	"slices"
	"time"

	"github.com/detour-relay/detour/relay"
)

// The columns of a [Meter]: bytes a second since the look before.
const (
	ByRate    = "rate" // in both directions together
	ByRateIn  = "rate-in"
	ByRateOut = "rate-out"
)

// rates are what only a Meter sorts by.
var rates = []Column{{Name: ByRate, Moves: true}, {Name: ByRateIn, Moves: true}, {Name: ByRateOut, Moves: true}}

// watched are all columns of a Meter.
var watched = append(ours[:len(ours):len(ours)], rates...)

// ParseWatch reads a query of which no page is asked for but the first, again and again.
func ParseWatch(v url.Values) (q *Query, err error) {
	q = &Query{Limit: UsualLimit}
	if err := q.paging(watched, url.Values{"sort": {cmp.Or(v.Get("sort"), "-"+ByRate)}, "limit": {v.Get("limit")}}, time.Time{}); err != nil {
		return nil, err
	}
	return q, q.ParseFilter(v["key"], v["network"], v["label"], v["app"])
}

// A Meter says how fast connections are. It remembers two numbers of each from one look
// to the next, and nothing of those that its query does not take.
type Meter struct {
	query  *Query
	at     time.Time
	marks  map[uint64]mark // by the number of the connection
	before map[uint64]mark // of the look before, to be used again
}

type mark struct{ in, out uint64 }

// A Rated is a connection, and what it has had since the look before.
type Rated struct {
	relay.PeerState
	In, Out uint64 // bytes from the peer, and to it
}

// A Look is what there was at one.
type Look struct {
	Peers []Rated
	Conns int           // that the filter takes
	Over  time.Duration // since the look before
}

// NewMeter returns one that has not looked yet.
func NewMeter(q *Query) *Meter { return &Meter{query: q, marks: make(map[uint64]mark)} }

// Look visits every connection once. What has come since the look before counts from the
// beginning; the first look knows no rates.
func (m *Meter) Look(all iter.Seq[relay.PeerState], now time.Time) Look {
	first := m.at.IsZero()
	l := Look{}
	if !first {
		l.Over = now.Sub(m.at)
	}
	m.at, m.before, m.marks = now, m.marks, m.before
	if m.marks == nil {
		m.marks = make(map[uint64]mark, len(m.before))
	}
	clear(m.marks)
	n := nearest[Rated]{compare: m.compare(), most: m.query.Limit}
	var r Rated // one for all: an allocation each would cost more than the walk
	for r.PeerState = range all {
		if !m.query.Picks(&r.PeerState) {
			continue
		}
		l.Conns++
		m.marks[r.ID] = mark{r.Received, r.Sent}
		r.In, r.Out = 0, 0
		if was, known := m.before[r.ID]; known || !first {
			r.In, r.Out = r.Received-was.in, r.Sent-was.out
		}
		n.offer(&r)
	}
	l.Peers = n.sorted()
	return l
}

// compare is the order of the query, in which rates count, too. Of equal ones the busiest
// comes first, as at a beginning where nothing has a rate.
func (m *Meter) compare() func(a, b *Rated) int {
	q := m.query
	by := func(of func(*Rated) uint64) func(a, b *Rated) int {
		return func(a, b *Rated) int {
			c := cmp.Or(cmp.Compare(of(a), of(b)), cmp.Compare(a.Received+a.Sent, b.Received+b.Sent), cmp.Compare(a.ID, b.ID))
			if q.Desc {
				return -c
			}
			return c
		}
	}
	switch q.column.Name {
	case ByRate:
		return by(func(r *Rated) uint64 { return r.In + r.Out })
	case ByRateIn:
		return by(func(r *Rated) uint64 { return r.In })
	case ByRateOut:
		return by(func(r *Rated) uint64 { return r.Out })
	}
	return func(a, b *Rated) int { return q.compare(&a.PeerState, &b.PeerState) }
}

// IsRate reports whether a column is only a Meter's.
func IsRate(name string) bool {
	return slices.ContainsFunc(rates, func(c Column) bool { return c.Name == name })
}
