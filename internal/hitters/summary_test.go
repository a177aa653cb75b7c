package hitters

import (
	"math/rand/v2"
	"testing"

	"github.com/detour-relay/detour/relay"
)

func bytesOf(n uint64) Use { return Use{Received: relay.Traffic{Packets: 1, Bytes: n}} }

// A stream is names with bytes, in an order that is hard on a summary.
type stream func(use func(name int, bytes uint64))

func streams() map[string]stream {
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.2, 1, 1<<20)
	return map[string]stream{
		"few names": func(use func(int, uint64)) {
			for range 10000 {
				use(random.IntN(room), random.Uint64N(1500))
			}
		},
		"as many as there is room for, and one": func(use func(int, uint64)) {
			for range 100 {
				for name := range 2*room + 1 {
					use(name, 100)
				}
			}
		},
		"as usual": func(use func(int, uint64)) {
			for range 200_000 {
				use(int(zipf.Uint64()), random.Uint64N(1500))
			}
		},
		"names that come once, between two that stay": func(use func(int, uint64)) {
			for name := range 300_000 {
				use(10+name, 1000)
				if name%100 == 0 {
					use(1, 3000)
					use(2, 2000)
				}
			}
		},
		"the heavy ones first, then each newcomer a little more than the last": func(use func(int, uint64)) {
			for range 1000 {
				use(1, 1_000_000)
			}
			for name := range 300_000 {
				use(10+name, uint64(name))
			}
		},
		"the heavy one last": func(use func(int, uint64)) {
			for name := range 300_000 {
				use(10+name, 1000)
			}
			use(1, 50_000_000)
		},
		"one byte each": func(use func(int, uint64)) {
			for name := range 100_000 {
				use(name, 1)
			}
		},
		"nothing": func(func(int, uint64)) {},
		"packets without bytes": func(use func(int, uint64)) {
			for name := range 10_000 {
				use(name, 0)
			}
		},
	}
}

// check compares a summary with the exact figures.
func check(t *testing.T, s finished[int], exact map[int]uint64) {
	t.Helper()
	total := uint64(0)
	for _, bytes := range exact {
		total += bytes
	}
	if s.floor > total/(room+1) {
		t.Errorf("the floor is %d, more than a %dth of %d", s.floor, room+1, total)
	}
	if len(s.entries) > room {
		t.Errorf("%d names, and there is room for %d", len(s.entries), room)
	}
	listed := map[int]bool{}
	last := ^uint64(0)
	for _, e := range s.entries {
		is := exact[e.name]
		if e.Bytes() > is || is > e.most() || e.missed > s.floor {
			t.Errorf("%d has used %d, and shown are %d and up to %d more; floor %d", e.name, is, e.Bytes(), e.missed, s.floor)
		}
		if e.Bytes() > last {
			t.Errorf("%d is before who has used less", e.name)
		}
		listed[e.name], last = true, e.Bytes()
	}
	for name, is := range exact {
		if !listed[name] && is > s.floor {
			t.Errorf("%d has used %d and is not there; floor %d", name, is, s.floor)
		}
	}
	if len(exact) <= room && (s.floor != 0 || len(s.entries) != len(exact)) {
		t.Errorf("%d names of %d, floor %d: all have room", len(s.entries), len(exact), s.floor)
	}
}

func TestSummaryAgainstExactCounts(t *testing.T) {
	for name, stream := range streams() {
		t.Run(name, func(t *testing.T) {
			exact := map[int]uint64{}
			var s summary[int]
			stream(func(name int, bytes uint64) {
				exact[name] += bytes
				s.add(name, bytesOf(bytes))
				if len(s.of) > 2*room {
					t.Fatalf("%d names", len(s.of))
				}
			})
			check(t, s.finish(), exact)
		})
	}
}

// However the stream is cut into parts, and the parts are put together, the bounds are those
// of one summary.
func TestMergedSummariesAgainstExactCounts(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for name, stream := range streams() {
		t.Run(name, func(t *testing.T) {
			exact := map[int]uint64{}
			var part, above, top summary[int]
			stream(func(name int, bytes uint64) {
				exact[name] += bytes
				part.add(name, bytesOf(bytes))
				if random.IntN(5000) == 0 {
					above.merge(part.finish())
					part = summary[int]{}
				}
				if random.IntN(30000) == 0 {
					top.merge(above.finish())
					above = summary[int]{}
				}
			})
			above.merge(part.finish())
			top.merge(above.finish())
			check(t, top.finish(), exact)
		})
	}
}

func TestUseAddsUp(t *testing.T) {
	a := Use{relay.Traffic{Packets: 1, Bytes: 20}, relay.Traffic{Packets: 3, Bytes: 400}}
	b := Use{relay.Traffic{Packets: 50, Bytes: 600}, relay.Traffic{Packets: 700, Bytes: 8000}}
	both := Use{relay.Traffic{Packets: 51, Bytes: 620}, relay.Traffic{Packets: 703, Bytes: 8400}}
	if a.plus(b) != both || both.since(a) != b || both.Bytes() != 9020 || both.Packets() != 754 {
		t.Errorf("%+v, %+v", a.plus(b), both.since(a))
	}
}
