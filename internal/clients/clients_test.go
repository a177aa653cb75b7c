package clients

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// crowd are connections with many values twice, so that numbers have to decide.
func crowd(random *rand.Rand, n int) (all []relay.PeerState) {
	born := time.Unix(1_700_000_000, 0)
	keys := make(map[key.Public]int)
	for i := range n {
		few := func() uint64 { return uint64(random.IntN(4)) }
		k := key.Public{byte(random.IntN(n/2) + 1), 0xab}
		keys[k]++
		all = append(all, relay.PeerState{
			ID: uint64(i + 1), Peer: k, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(few())}), uint16(few())),
			Since: born.Add(time.Duration(few()) * time.Minute), AppName: []string{"", "a", "b", "<b>"}[few()], Group: []string{"", "staff", "=cmd()"}[few()%3],
			Received: few(), Sent: few(), ReceivedPackets: few(), SentPackets: few(), Waited: time.Duration(few() * 10), Dropped: relay.Traffic{Packets: few()},
			RoundTrip: time.Duration(few()), Version: int(few()), Queued: int(few()), Senders: int(few()), LimitedMS: int64(few()),
		})
	}
	for i := range all {
		all[i].Duplicate = keys[all[i].Peer] > 1
	}
	return all
}

func numbers(peers []relay.PeerState) (ids []uint64) {
	for _, p := range peers {
		ids = append(ids, p.ID)
	}
	return ids
}

// Page after page is the whole crowd, sorted, each once: by each column, both ways, with
// each size of pages, and each page begins where the one before says.
func TestPagesAreTheWholeCrowdInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := crowd(random, 60)
	for _, name := range Columns() {
		for _, sort := range []string{name, "-" + name} {
			for _, limit := range []int{1, 7, 59, 60, 61} {
				v := url.Values{"sort": {sort}, "limit": {fmt.Sprint(limit)}}
				var got []relay.PeerState
				for remaining := len(all); remaining > 0; {
					q, err := Parse(v, time.Now())
					if err != nil {
						t.Fatalf("%v: %v", v, err)
					}
					if again := q.Values(); v.Get("after") != "" && again.Get("after") != v.Get("after") {
						t.Fatalf("%v is asked again as %v", v, again)
					}
					page := q.Page(slices.Values(all))
					if len(page.Peers) == 0 || len(page.Peers) > limit || page.Conns != len(all) {
						t.Fatalf("%v: a page of %d, of %d", v, len(page.Peers), page.Conns)
					}
					got = append(got, page.Peers...)
					remaining = page.Remaining
					after, conn := q.Next(&page.Peers[len(page.Peers)-1])
					v.Set("after", after)
					v.Set("afterconn", conn)
				}
				q := new(Query)
				if err := q.SortBy(sort); err != nil {
					t.Fatal(err)
				}
				want := slices.SortedFunc(slices.Values(all), func(a, b relay.PeerState) int { return q.compare(&a, &b) })
				if !slices.Equal(numbers(got), numbers(want)) {
					t.Errorf("%s by %d: %v\nwant %v", sort, limit, numbers(got), numbers(want))
				}
			}
		}
	}
}

// The order of a column is that of what it shows: the other fields of marks do not count.
func TestEachColumnHasItsOwnOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	all := crowd(random, 40)
	for _, name := range Columns() {
		q := new(Query)
		if err := q.SortBy(name); err != nil {
			t.Fatal(err)
		}
		for i := range all {
			var mark relay.PeerState
			if err := q.column.read(&mark, q.column.text(&all[i]), false, time.Now()); err != nil {
				t.Fatalf("%s: %q: %v", name, q.column.text(&all[i]), err)
			}
			for j := range all {
				if a, b := q.column.compare(&mark, &all[j]), q.column.compare(&all[i], &all[j]); a != b {
					t.Errorf("%s: a cursor compares as %d, its connection as %d", name, a, b)
				}
			}
		}
	}
}

func TestFiltersPickWhatTheySay(t *testing.T) {
	all := crowd(rand.New(rand.NewPCG(5, 6)), 60)
	for query, picks := range map[string]func(*relay.PeerState) bool{
		"":                                   func(*relay.PeerState) bool { return true },
		"label=staff":                        func(p *relay.PeerState) bool { return p.Group == "staff" },
		"label=":                             func(p *relay.PeerState) bool { return p.Group == "" },
		"label=staff&label=":                 func(p *relay.PeerState) bool { return p.Group == "staff" || p.Group == "" },
		"app=%3Cb%3E":                        func(p *relay.PeerState) bool { return p.AppName == "<b>" },
		"app=a&label=staff":                  func(p *relay.PeerState) bool { return p.AppName == "a" && p.Group == "staff" },
		"network=192.0.2.2":                  func(p *relay.PeerState) bool { return p.Addr.Addr() == netip.MustParseAddr("192.0.2.2") },
		"network=192.0.2.2/31":               func(p *relay.PeerState) bool { return p.Addr.Addr().As4()[3]/2 == 1 },
		"network=::ffff:192.0.2.2":           func(p *relay.PeerState) bool { return p.Addr.Addr().As4()[3] == 2 },
		"network=192.0.2.2&network=::/0":     func(p *relay.PeerState) bool { return p.Addr.Addr().As4()[3] == 2 },
		"key=nodekey:0":                      func(p *relay.PeerState) bool { return p.Peer[0] < 0x10 },
		"key=0&key=1":                        func(p *relay.PeerState) bool { return p.Peer[0] < 0x20 },
		"key=05ab0":                          func(p *relay.PeerState) bool { return p.Peer[0] == 5 },
		"key=05ac":                           func(p *relay.PeerState) bool { return false },
		"key=nodekey:" + all[0].Peer.Hex():   func(p *relay.PeerState) bool { return p.Peer == all[0].Peer },
		"network=192.0.2.0/24&app=b&label=":  func(p *relay.PeerState) bool { return p.AppName == "b" && p.Group == "" },
		"key=" + all[1].Peer.Hex() + "&app=": func(p *relay.PeerState) bool { return p.Peer == all[1].Peer && p.AppName == "" },
	} {
		v, _ := url.ParseQuery(query)
		v.Set("sort", "conn")
		q, err := Parse(v, time.Now())
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		var want []uint64
		keys := make(map[key.Public]bool)
		for _, p := range all {
			if picks(&p) {
				want = append(want, p.ID)
				keys[p.Peer] = true
			}
		}
		if page := q.Page(slices.Values(all)); !slices.Equal(numbers(page.Peers), want) || page.Keys != len(keys) {
			t.Errorf("%s: %v of %d keys, want %v of %d", query, numbers(page.Peers), page.Keys, want, len(keys))
		}
	}
}

// What cannot be read is refused in a line, however long it was.
func TestBadQueriesAreRefusedInALine(t *testing.T) {
	long := strings.Repeat("x\x1b\n", 10<<20/3)
	for _, v := range []url.Values{
		{"sort": {"weight"}}, {"sort": {"-"}}, {"sort": {"--key"}}, {"sort": {long}},
		{"limit": {"0"}}, {"limit": {"-1"}}, {"limit": {"many"}}, {"limit": {long}},
		{"key": {""}}, {"key": {"nodekey:"}}, {"key": {"nodekey:xy"}}, {"key": {strings.Repeat("0", 65)}}, {"key": {long}},
		{"network": {"10.0.0.0/33"}}, {"network": {"fe80::1%eth0"}}, {"network": {"fe80::%eth0/64"}}, {"network": {"relay.example"}}, {"network": {""}}, {"network": {long}},
		{"label": {long}}, {"app": {long}}, {"app": make([]string, mostValues+1)},
		{"after": {"nodekey:1"}}, {"sort": {"ip"}, "after": {"10.0.0"}}, {"sort": {"rx"}, "after": {"-1"}}, {"sort": {"connected"}, "after": {"soon"}},
		{"sort": {"wait"}, "after": {"1.5"}}, {"sort": {"rx"}, "after": {"1"}, "afterconn": {"x"}}, {"sort": {"conn"}, "after": {long}},
	} {
		if _, err := Parse(v, time.Now()); err == nil {
			t.Errorf("%.80v was read", v)
		} else if text := err.Error(); len(text) > 400 || strings.ContainsAny(text, "\n\x1b") {
			t.Errorf("%.80v: %q", v, text)
		}
	}
}

// A page is at most so large, whatever is asked, and what is asked for is read as it was.
func FuzzParse(f *testing.F) {
	f.Add("sort=-rx&limit=5000&after=7&afterconn=3&label=a")
	f.Add("key=nodekey:abc&network=10.0.0.0/8&app=&sort=ip&after=10.0.0.1")
	f.Add("sort=label&after=&afterconn=4")
	f.Add("sort=label&after=&afterconn=") // fields that were left empty
	all := crowd(rand.New(rand.NewPCG(7, 8)), 20)
	f.Fuzz(func(t *testing.T, query string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		now := time.Now()
		q, err := Parse(v, now)
		if err != nil {
			return
		}
		if q.Limit < 1 || q.Limit > MostLimit {
			t.Fatalf("%q: %d", query, q.Limit)
		}
		again, err := Parse(q.Values(), now)
		if err != nil {
			t.Fatalf("%q became %q: %v", query, q.Values().Encode(), err)
		}
		one, other := q.Page(slices.Values(all)), again.Page(slices.Values(all))
		if !slices.Equal(numbers(one.Peers), numbers(other.Peers)) || one.Conns != other.Conns {
			t.Fatalf("%q became %q", query, q.Values().Encode())
		}
		parseDerper(v, now)
	})
}
