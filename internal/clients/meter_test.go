package clients

import (
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/relay"
)

// A meter is held against a plain table of what each had before, while connections come,
// go and carry.
func TestMeterTellsWhoIsBusy(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 7))
	for _, by := range []string{ByRate, ByRateIn, ByRateOut} {
		q, err := ParseWatch(url.Values{"sort": {"-" + by}, "limit": {"5"}})
		if err != nil {
			t.Fatal(err)
		}
		m, now := NewMeter(q), time.Unix(1000, 0)
		all := crowd(random, 40)
		before, next := map[uint64]relay.PeerState{}, uint64(len(all))
		for step := range 30 {
			look := m.Look(slices.Values(all), now)
			wantLook(t, by, step, look, all, before)
			clear(before)
			for i := range all {
				before[all[i].ID] = all[i]
				all[i].Received += uint64(random.IntN(100))
				all[i].Sent += uint64(random.IntN(100))
			}
			at := random.IntN(len(all))
			all = slices.Delete(all, at, at+1)
			next++
			all = append(all, relay.PeerState{ID: next, Received: uint64(random.IntN(100))})
			random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			now = now.Add(2 * time.Second)
		}
	}
}

// wantLook sorts what each has had since before.
func wantLook(t *testing.T, by string, step int, got Look, all []relay.PeerState, before map[uint64]relay.PeerState) {
	t.Helper()
	had := func(p relay.PeerState) (in, out, both uint64) {
		if step == 0 {
			return 0, 0, 0
		}
		was := before[p.ID]
		return p.Received - was.Received, p.Sent - was.Sent, p.Received - was.Received + p.Sent - was.Sent
	}
	value := func(p relay.PeerState) uint64 {
		in, out, both := had(p)
		return map[string]uint64{ByRate: both, ByRateIn: in, ByRateOut: out}[by]
	}
	var rates []uint64
	for _, p := range all {
		rates = append(rates, value(p))
	}
	slices.Sort(rates)
	slices.Reverse(rates)
	if len(got.Peers) != 5 || got.Conns != len(all) || (got.Over == 0) != (step == 0) {
		t.Fatalf("step %d: %d of %d over %s", step, len(got.Peers), got.Conns, got.Over)
	}
	for i, p := range got.Peers {
		in, out, _ := had(p.PeerState)
		if p.In != in || p.Out != out || value(p.PeerState) != rates[i] {
			t.Fatalf("%s, step %d, place %d: %d in, %d out, want %d and %d, and %d is the next", by, step, i, p.In, p.Out, in, out, rates[i])
		}
	}
}

// Every other column is the same as in lists, and what a meter cannot sort is refused.
func TestMeterSortsByColumns(t *testing.T) {
	all := crowd(rand.New(rand.NewPCG(2, 7)), 40)
	for _, name := range Columns() {
		q, err := ParseWatch(url.Values{"sort": {name}, "label": {"staff"}})
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for _, p := range NewMeter(q).Look(slices.Values(all), time.Now()).Peers {
			got = append(got, p.ID)
		}
		if want := numbers(q.Page(slices.Values(all)).Peers); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for _, v := range []url.Values{{"sort": {"speed"}}, {"limit": {"0"}}, {"network": {"x"}}} {
		if _, err := ParseWatch(v); err == nil {
			t.Errorf("%v was read", v)
		}
	}
	if _, err := Parse(url.Values{"sort": {ByRate}}, time.Now()); err == nil {
		t.Error("a list is sorted by what only a meter knows")
	}
}

// A look allocates what it keeps, and nothing for those that it passes by.
func TestLooksAllocateNothingForEach(t *testing.T) {
	all := crowd(rand.New(rand.NewPCG(3, 7)), 2000)
	q, err := ParseWatch(url.Values{"limit": {"5"}})
	if err != nil {
		t.Fatal(err)
	}
	m := NewMeter(q)
	for range 2 { // the tables of marks
		m.Look(slices.Values(all), time.Unix(1, 0))
	}
	if n := testing.AllocsPerRun(10, func() { m.Look(slices.Values(all), time.Unix(2, 0)) }); n > 30 {
		t.Errorf("%v allocations for %d connections", n, len(all))
	}
	if n := testing.AllocsPerRun(10, func() { q.Limit, q.column = 5, ours[0]; q.Page(slices.Values(all)) }); n > 60 {
		t.Errorf("%v allocations for a page of %d connections", n, len(all))
	}
}
