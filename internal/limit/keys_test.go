package limit

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// plainMember is a connection as one would write it down.
type plainMember struct {
	id    byte
	group string
	own   *Limits
}

func (p plainMember) want(r Rules) Limits {
	switch l, ok := r.Groups[p.group]; {
	case p.own != nil:
		return newRule(*p.own).limits()
	case ok:
		return newRule(l).limits()
	}
	return newRule(r.Each).limits()
}

// Whatever comes, goes and changes: each member has what the rules say, those of a
// key share one state, and nothing is left in the end.
func TestMembersFollowTheRules(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var ks Keys
	var rules Rules
	members := map[*Member]plainMember{}
	some := func() Limits {
		return []Limits{{}, {In: 50_000}, {Out: 60_000, Burst: 70_000}, {In: 80_000, Out: 90_000}}[random.IntN(4)]
	}
	now := int64(1)
	for range 5000 {
		now += second / 10
		switch random.IntN(6) {
		case 0:
			rules = Rules{Each: some(), Groups: map[string]Limits{"a": some()}, Total: int64(random.IntN(2)) * 1_000_000}
			ks.Set(rules, now)
			for m, p := range members {
				ks.Apply(m, [32]byte{p.id}, p.group, now)
			}
		case 1, 2, 3:
			m, p := new(Member), plainMember{id: byte(random.IntN(6)), group: []string{"", "a", "b"}[random.IntN(3)]}
			if random.IntN(4) == 0 {
				l := some()
				m.Own, p.own = &l, &l
			}
			if got, want := ks.Tell(m, p.group), p.want(rules); got != want {
				t.Fatalf("told %+v, want %+v", got, want)
			}
			if _, changed := ks.Apply(m, [32]byte{p.id}, p.group, now); changed {
				t.Fatal("a new member is told twice")
			}
			members[m] = p
		default:
			for m, p := range members {
				m.Key().In(random.IntN(1000), now)
				ks.Leave(m, now)
				if ks.Apply(m, [32]byte{p.id}, p.group, now); m.Key() != nil {
					t.Fatal("it comes back after its end")
				}
				delete(members, m)
				break
			}
		}
		ks.Forget(now)
		states := map[byte]*Key{}
		for m, p := range members {
			k := m.Key()
			if limited := p.want(rules) != (Limits{}) || rules.Total > 0; limited != (k != nil) || k != nil && !ks.On() {
				t.Fatalf("limited %v, but it has %v", limited, k)
			}
			if k == nil {
				continue
			}
			if other := states[p.id]; other != nil && other != k {
				t.Fatal("two states of one key")
			}
			states[p.id] = k
		}
	}
	for m := range members {
		ks.Leave(m, now)
	}
	ks.Set(Rules{}, now)
	ks.Forget(now + int64(2*remembered))
	if ks.Len() != 0 || ks.On() {
		t.Errorf("%d keys are left", ks.Len())
	}
}

// Who comes back within a second has not a full bucket again.
func TestReturningKeepsTheDebt(t *testing.T) {
	var ks Keys
	ks.Set(Rules{Each: Limits{In: 100_000}}, 1)
	m := new(Member)
	ks.Apply(m, [32]byte{1}, "", 1)
	first := m.Key()
	first.In(300_000, 1)
	ks.Leave(m, 2)
	ks.Forget(3)
	again := new(Member)
	if ks.Apply(again, [32]byte{1}, "", 4); again.Key() != first {
		t.Error("a new state")
	}
	ks.Leave(again, 5)
	ks.Forget(10 * second)
	if ks.Len() != 0 {
		t.Error("it is never forgotten")
	}
	ks.Apply(new(Member), [32]byte{1}, "", 10*second)
	ks.Forget(20 * second)
	if ks.Len() != 1 {
		t.Error("a key that is here is forgotten")
	}
}

// Charging waits for nobody who joins or changes the rules.
func TestChargingTakesNoLock(t *testing.T) {
	var ks Keys
	ks.Set(Rules{Each: Limits{In: 100_000, Out: 100_000}, Total: 1_000_000}, 1)
	m := new(Member)
	ks.Apply(m, [32]byte{1}, "", 1)
	ks.mu.Lock()
	defer ks.mu.Unlock()
	k := m.Key()
	for now := range second {
		k.In(1000, now)
		k.Out(1000, now)
		k.Owes(now)
		k.OwesOut(now)
		if now > 1000 {
			break
		}
	}
}

// All at once, for the race detector.
func TestManyAtOnce(t *testing.T) {
	var ks Keys
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 2000 {
				now := int64(i) * second / 1000
				if n == 0 {
					ks.Set(Rules{Each: Limits{In: int64(i%3) * 100_000}, Total: int64(i%2) * 1_000_000}, now)
				}
				m := new(Member)
				ks.Tell(m, "")
				ks.Apply(m, [32]byte{byte(i % 5)}, "", now)
				rest := m.Key().In(5000, now)
				if rest.Or(m.Key().Out(100, now)).For < rest.For {
					t.Error("the shorter of two rests")
				}
				m.Key().Owes(now)
				m.Key().State()
				ks.Leave(m, now)
				ks.Forget(now)
			}
		})
	}
	all.Wait()
	ks.Set(Rules{}, 1)
	ks.Forget(1 << 60)
	if ks.Len() != 0 {
		t.Errorf("%d keys are left", ks.Len())
	}
}
