package client

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/key"
)

func numbered(n int) (k key.Public) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

// A relay that makes up senders costs bounded memory, and no peer whose home is
// known.
func TestLearnedPeersAreBounded(t *testing.T) {
	t1 := peers{all: make(map[key.Public]peer)}
	r := &hostRegion{ctx: context.Background()}
	for i := range 100 {
		t1.setHome(numbered(-1-i), 900)
	}
	for i := range 3 * maxLearned {
		t1.heardIn(numbered(i), r)
	}
	if len(t1.all) != maxLearned+100 || t1.learned != maxLearned {
		t.Errorf("%d peers, %d learned", len(t1.all), t1.learned)
	}
	for i := range 100 {
		if t1.all[numbered(-1-i)].home != 900 {
			t.Errorf("peer %d was forgotten", i)
		}
	}
	t1.forgetRegion(r)
	if len(t1.all) != 100 || t1.learned != 0 {
		t.Errorf("%d peers, %d learned after their region was closed", len(t1.all), t1.learned)
	}
}

// The count of learned peers is right whatever happens.
func TestPeersCountLearned(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	table := peers{all: make(map[key.Public]peer)}
	ctx, cancel := context.WithCancel(t.Context())
	regions := []*hostRegion{{ctx: ctx}, {ctx: t.Context()}}
	for step := range 20000 {
		k, r := numbered(random.IntN(20)), regions[random.IntN(2)]
		switch random.IntN(5) {
		case 0:
			table.setHome(k, random.IntN(3))
		case 1, 2:
			table.heardIn(k, r)
		case 3:
			table.gone(k, r)
		case 4:
			if random.IntN(100) == 0 {
				table.forgetRegion(r)
			}
			r.breaks.Add(1)
		}
		learned := 0
		for _, p := range table.all {
			if p.home == 0 {
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
	cancel()
}
