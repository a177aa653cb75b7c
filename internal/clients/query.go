package clients

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/relay"
)

const (
	// UsualLimit is how many connections a page has that does not say, MostLimit how
	// many it has at most.
	UsualLimit = 100
	MostLimit  = 1000

	// mostValues bounds how many a filter has of one kind, mostText each of them, in bytes.
	mostValues = 100
	mostText   = 1024
)

// A Query asks for one page.
type Query struct {
	Filter
	Desc  bool
	Limit int // 0: all

	column Column
	after  *cursor
}

// A cursor is behind which connection a page begins.
type cursor struct {
	mark     relay.PeerState // has a value in the column, and the number
	numbered bool            // it has a number
}

// SortBy sets the column by its name, with a dash before it for the other direction.
func (q *Query) SortBy(name string) error { return q.sortBy(ours, name) }

func (q *Query) sortBy(of []Column, text string) error {
	name, desc := strings.CutPrefix(cmp.Or(text, ByKey), "-")
	c, known := column(of, name)
	if !known {
		var names []string
		for _, c := range of {
			names = append(names, c.Name)
		}
		return fmt.Errorf("sort %s: choose %s, with a dash before it for the other direction", quoted(text), strings.Join(names, ", "))
	}
	q.column, q.Desc = c, desc
	return nil
}

// Column is what the query sorts by.
func (q *Query) Column() Column { return q.column }

// Sort is what SortBy reads.
func (q *Query) Sort() string {
	if q.Desc {
		return "-" + q.column.Name
	}
	return q.column.Name
}

// Begin sets where the page begins: behind a value of the column, and behind the
// connection with a number among those that have it; empty: behind all of them.
func (q *Query) Begin(after, conn string, now time.Time) error {
	c := &cursor{numbered: q.column.Name == byConn}
	if err := q.column.read(&c.mark, after, q.Desc, now); err != nil {
		return fmt.Errorf("after %s, by %s: %w", quoted(after), q.column.Name, err)
	}
	if conn != "" && !c.numbered {
		c.numbered = true
		if err := readConn(&c.mark, conn); err != nil {
			return fmt.Errorf("afterconn %s: %w", quoted(conn), err)
		}
	}
	q.after = c
	return nil
}

// Next is what Begin reads for the page behind a connection.
func (q *Query) Next(last *relay.PeerState) (after, conn string) {
	if after = q.column.text(last); q.column.Name != byConn {
		conn = strconv.FormatUint(last.ID, 10)
	}
	return after, conn
}

// Parse reads a query as detour asks it: key, network, label and app may be repeated, and
// sort, limit, after and afterconn are derper's.
func Parse(v url.Values, now time.Time) (q *Query, err error) {
	q = new(Query)
	if err := q.paging(ours, v, now); err != nil {
		return nil, err
	}
	if err := q.ParseFilter(v["key"], v["network"], v["label"], v["app"]); err != nil {
		return nil, err
	}
	return q, nil
}

// ParseFilter reads the values of each kind.
func (f *Filter) ParseFilter(keys, networks, labels, apps []string) error {
	for kind, values := range map[string][]string{"key": keys, "network": networks, "label": labels, "app": apps} {
		if len(values) > mostValues {
			return fmt.Errorf("%d values for %s: %d are possible", len(values), kind, mostValues)
		}
		for _, text := range values {
			if len(text) > mostText {
				return fmt.Errorf("%s %s: it has %d bytes, and %d are possible", kind, quoted(text), len(text), mostText)
			}
		}
	}
	for _, text := range keys {
		k, err := ParseKeyPrefix(text)
		if err != nil {
			return wrongKey(text, err)
		}
		f.Keys = append(f.Keys, k)
	}
	for _, text := range networks {
		n, err := ParseNetwork(text)
		if err != nil {
			return fmt.Errorf("network %s: %w", quoted(text), err)
		}
		f.Networks = append(f.Networks, n)
	}
	f.Labels, f.Apps = labels, apps
	return nil
}

// wrongKey repeats nothing that may be a secret.
func wrongKey(text string, err error) error {
	if !strings.HasPrefix(text, keyType) {
		return fmt.Errorf("key: %w", err)
	}
	return fmt.Errorf("key %s: %w", quoted(text), err)
}

// paging reads order, size and beginning.
func (q *Query) paging(of []Column, v url.Values, now time.Time) (err error) {
	if err := q.sortBy(of, v.Get("sort")); err != nil {
		return err
	}
	q.Limit = UsualLimit
	if text := v.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 {
			return fmt.Errorf("limit %s: want a number, at least 1", quoted(text))
		}
		q.Limit = min(q.Limit, MostLimit)
	}
	return q.beginAt(v.Get("after"), v.Get("afterconn"), now)
}

// beginAt takes no value for one that is empty only where texts are sorted, and a
// connection is given.
func (q *Query) beginAt(after, conn string, now time.Time) error {
	if after == "" && (conn == "" || !slices.Contains([]string{"label", "app"}, q.column.Name)) {
		return nil
	}
	return q.Begin(after, conn, now)
}

// Values are what Parse reads.
func (q *Query) Values() url.Values {
	v := url.Values{"sort": {q.Sort()}, "limit": {strconv.Itoa(q.Limit)}}
	for _, k := range q.Keys {
		v.Add("key", k.String())
	}
	for _, n := range q.Networks {
		v.Add("network", n.String())
	}
	if len(q.Labels) > 0 {
		v["label"] = q.Labels
	}
	if len(q.Apps) > 0 {
		v["app"] = q.Apps
	}
	if q.after != nil {
		v.Set("after", q.column.text(&q.after.mark))
		if q.after.numbered && q.column.Name != byConn {
			v.Set("afterconn", strconv.FormatUint(q.after.mark.ID, 10))
		}
	}
	return v
}

// Following are the values that Parse reads for the page behind a connection.
func (q *Query) Following(last *relay.PeerState) url.Values {
	v := q.Values()
	after, conn := q.Next(last)
	v.Set("after", after)
	if conn != "" {
		v.Set("afterconn", conn)
	}
	return v
}

// Follow has the next page begin behind a connection.
func (q *Query) Follow(last *relay.PeerState) { q.after = &cursor{mark: *last, numbered: true} }

// AsDerper are the values by which derper is asked the same, in JSON; ok is false if it
// cannot be.
func (q *Query) AsDerper() (v url.Values, ok bool) {
	_, sorts := column(theirs, q.column.Name)
	if !sorts || len(q.Labels) > 0 || len(q.Keys)+len(q.Networks) > 1 {
		return nil, false
	}
	v = q.Values()
	v.Del("network")
	v.Set("format", "json")
	switch {
	case len(q.Keys) == 1:
		k, whole := q.Keys[0].Whole()
		v.Set("key", k.String())
		return v, whole
	case len(q.Networks) == 1:
		v.Set("cidr", q.Networks[0].String())
	default:
		v.Set("all", "1")
	}
	return v, true
}

// derperShows are columns that derper has, and does not sort by.
var derperShows = []string{"app", "version", "senders"}

// DerperShows reports whether a column is one of derper's.
func DerperShows(name string) bool {
	_, sorts := column(theirs, name)
	return sorts || slices.Contains(derperShows, name)
}
