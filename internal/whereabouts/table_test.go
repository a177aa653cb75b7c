package whereabouts

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/key"
)

func numbered(n int) (k key.Public) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

// place is a Region.
type place struct {
	id     int
	breaks uint64
	ended  bool
}

func (p *place) ID() int        { return p.id }
func (p *place) Breaks() uint64 { return p.breaks }
func (p *place) Ended() bool    { return p.ended }

// A relay that makes up senders costs bounded memory, and no peer whose home is
// known.
func TestLearnedPeersAreBounded(t *testing.T) {
	table, r := New[*place](), &place{id: 900}
	for i := range 100 {
		table.SetHome(numbered(-1-i), 900)
	}
	for i := range 3 * MaxLearned {
		table.HeardIn(numbered(i), r)
	}
	if len(table.all) != MaxLearned+100 || table.learned != MaxLearned {
		t.Errorf("%d peers, %d learned", len(table.all), table.learned)
	}
	for i := range 100 {
		if table.Of(numbered(-1-i)).Home != 900 {
			t.Errorf("peer %d was forgotten", i)
		}
	}
	table.ForgetRegion(r)
	if len(table.all) != 100 || table.learned != 0 {
		t.Errorf("%d peers, %d learned after their region was closed", len(table.all), table.learned)
	}
}

// Where a peer with a home was heard is known after that region was closed, and not
// after it was told that the peer is not there.
func TestWhereAPeerWasHeardLast(t *testing.T) {
	k, first, second := numbered(1), &place{id: 1}, &place{id: 2}
	for name, test := range map[string]struct {
		do   func(*Table[*place])
		last int
	}{
		"never":                           {func(*Table[*place]) {}, 0},
		"heard":                           {func(n *Table[*place]) { n.HeardIn(k, first) }, 1},
		"in two":                          {func(n *Table[*place]) { n.HeardIn(k, first); n.HeardIn(k, second) }, 2},
		"closed":                          {func(n *Table[*place]) { n.HeardIn(k, first); n.ForgetRegion(first) }, 1},
		"gone":                            {func(n *Table[*place]) { n.HeardIn(k, first); n.Gone(k, first) }, 0},
		"gone, from another":              {func(n *Table[*place]) { n.HeardIn(k, first); n.Gone(k, second) }, 1},
		"closed, and gone from the next":  {func(n *Table[*place]) { n.HeardIn(k, first); n.ForgetRegion(first); n.Gone(k, &place{id: 1}) }, 0},
		"heard, and told of another home": {func(n *Table[*place]) { n.HeardIn(k, first); n.SetHome(k, 8) }, 1},
	} {
		table := New[*place]()
		table.SetHome(k, 7)
		test.do(table)
		if got := table.Of(k).Last; got != test.last {
			t.Errorf("%s: heard in %d, want %d", name, got, test.last)
		}
	}
}

// The count of learned peers is right whatever happens.
func TestTheLearnedAreCounted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table, regions := New[*place](), []*place{{id: 1}, {id: 2}}
	for step := range 20000 {
		k, r := numbered(random.IntN(20)), regions[random.IntN(2)]
		switch random.IntN(6) {
		case 0:
			table.SetHome(k, random.IntN(3))
		case 1, 2:
			table.HeardIn(k, r)
		case 3:
			table.Gone(k, r)
		case 4:
			if random.IntN(100) == 0 {
				table.ForgetRegion(r)
			}
			r.breaks++
		case 5:
			table.Asked(k, 1)
		}
		learned := 0
		for _, p := range table.all {
			if p.Home == 0 {
				learned++
				if p.heard == nil {
					t.Fatalf("step %d: a peer of which nothing is known is remembered", step)
				}
			}
		}
		if learned != table.learned {
			t.Fatalf("step %d: %d learned, counted %d", step, learned, table.learned)
		}
	}
}

// A home that is told in the place of another is newer than what was heard.
func TestAnotherHomeEndsWhatWasHeard(t *testing.T) {
	table, here, k := New[*place](), &place{id: 1}, numbered(1)
	table.HeardIn(k, here)
	table.SetHome(k, 2)
	if p := table.Of(k); !heard(p) {
		t.Error("the first home that is told ends what was heard")
	}
	table.SetHome(k, 3)
	if p := table.Of(k); heard(p) || p.Home != 3 || p.Last != 1 {
		t.Errorf("after a move it is %+v", p)
	}
	table.HeardIn(k, here)
	table.SetHome(k, 0)
	if p := table.Of(k); heard(p) {
		t.Errorf("after it is gone it is %+v", p)
	}
}

func heard(p Place[*place]) bool { _, ok := p.Heard(); return ok }
