package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/key"
)

// sources push numbered packets into an outbox, and look at what comes out.
type sources struct {
	t       *testing.T
	out     *outbox
	kind    ledger.Kind // of all packets
	book    ledger.Book
	now     int64
	pushed  map[key.Public]uint64 // numbers so far
	last    map[key.Public]uint64 // that came out
	arrived map[key.Public]int
}

func newSources(t *testing.T, limit int, age time.Duration) *sources {
	s := &sources{t: t, kind: ledger.Data, now: 1, pushed: map[key.Public]uint64{}, last: map[key.Public]uint64{}, arrived: map[key.Public]int{}}
	s.book.Init()
	s.out = looseOutbox(limit, age, s.book.Page(0))
	s.out.blockedAt.Store(1)
	return s
}

func (s *sources) push(from, size int) (overflow int) {
	src := numbered(from)
	s.pushed[src]++
	packet := make([]byte, max(8, size))
	binary.LittleEndian.PutUint64(packet, s.pushed[src])
	return s.out.push(&src, nil, packet, s.kind, s.now)
}

func (s *sources) take() {
	var b batch
	s.out.takeLocked(&b, s.now)
	for _, segment := range b.Segments[:b.N] {
		for p := segment.Contents(); len(p) > 0; {
			_, n := derp.ParseHeader(p)
			src, packet, err := derp.ParseRecvPacket(p[derp.HeaderLen : derp.HeaderLen+n])
			if err != nil {
				s.t.Fatal(err)
			}
			number := binary.LittleEndian.Uint64(packet)
			if number <= s.last[src] || number > s.pushed[src] {
				s.t.Fatalf("packet %d of a source after %d", number, s.last[src])
			}
			s.last[src] = number
			s.arrived[src]++
			p = p[derp.HeaderLen+n:]
		}
	}
	b.Release()
}

// check holds that each packet is somewhere, and counted there.
func (s *sources) check() {
	all, arrived := 0, 0
	for src, n := range s.pushed {
		all += int(n)
		arrived += s.arrived[src]
	}
	lost := 0
	for _, of := range s.book.Totals().Lost {
		lost += int(of[s.kind].Packets)
	}
	queued, account := s.out.state()
	if all != arrived+lost+queued || int(account.Sent.Packets) != arrived {
		s.t.Fatalf("%d packets, but %d arrived, %d lost, %d queued; the account is %+v", all, arrived, lost, queued, account)
	}
	bytes := [ledger.Kinds]int{s.out.box.Disco.Bytes(), s.out.box.Other.Bytes()}[s.kind]
	if bytes > int(s.out.box.Limit) || (queued == 0) != s.out.box.Empty() {
		s.t.Fatalf("%d packets of %d bytes wait, empty: %v", queued, bytes, s.out.box.Empty())
	}
}

// Whatever many sources do, each packet is counted once and none passes another of its
// source; in the end nothing is held.
func TestSourcesKeepOrderAndSums(t *testing.T) {
	for _, many := range []int{2, 17, 100} {
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, uint64(many)))
			s := newSources(t, 200_000, time.Duration(seed%2)*100*time.Millisecond)
			for range 3000 {
				s.now += random.Int64N(2_000_000)
				switch n := random.IntN(10); {
				case n < 6:
					s.push(random.IntN(many), random.IntN(1500))
				case n < 7:
					s.push(random.IntN(2), random.IntN(derp.MaxPacket+1))
				case n < 9:
					s.take()
				case n < 10 && random.IntN(20) == 0:
					s.out.dropStale(s.now)
				case random.IntN(20) == 0:
					for !s.out.box.Empty() {
						s.take()
					}
				}
				s.check()
			}
			if seed%3 == 0 {
				s.out.close()
			}
			for !s.out.box.Empty() {
				s.take()
			}
			s.check()
		}
	}
}

// A source that sends little to a receiver whom 16 others flood loses nothing, waits for
// no more than a batch, and does not have to rest; those others share the rest alike.
func TestFloodsDoNotDrownOthers(t *testing.T) {
	const quiet, floods = 99, 16
	for kind, flood := range [ledger.Kinds]struct{ size, each int }{ledger.Data: {1400, 3}, ledger.Disco: {200, 6}} {
		s := newSources(t, 512<<10, 0)
		s.kind = ledger.Kind(kind)
		for round := range 4000 {
			for range flood.each {
				for f := range floods {
					s.push(f, flood.size)
				}
			}
			if round > 100 && s.push(quiet, flood.size) > 0 {
				t.Fatalf("%v: the quiet source is told to slow down", s.kind)
			}
			s.take()
			if src := numbered(quiet); round > 100 && s.last[src] != s.pushed[src] {
				t.Fatalf("%v, round %d: packet %d waits", s.kind, round, s.pushed[src])
			}
			s.check()
		}
		least, most := s.arrived[numbered(0)], 0
		for f := range floods {
			n := s.arrived[numbered(f)]
			least, most = min(least, n), max(most, n)
		}
		if least == 0 || most > least*11/10 {
			t.Errorf("%v: of the floods %d to %d packets have arrived", s.kind, least, most)
		}
	}
}

// Large packets give no larger share.
func TestShareIsOfBytes(t *testing.T) {
	s := newSources(t, 1<<20, 0)
	for range 3000 {
		for range 2 {
			s.push(1, 40_000)
		}
		for range 30 {
			s.push(2, 1400)
		}
		s.take()
	}
	large, small := s.arrived[numbered(1)]*40_000, s.arrived[numbered(2)]*1400
	if large > small*5/4 || small > large*5/4 {
		t.Errorf("%d bytes in large packets, %d in small ones", large, small)
	}
}

// One source alone stays in the one queue, as long as it likes.
func TestOneSourceTakesNoTurns(t *testing.T) {
	s := newSources(t, 512<<10, 0)
	for range 1000 {
		s.push(1, 1400)
		if s.out.box.Other.Shared() {
			t.Fatal("it has turns")
		}
	}
	for s.push(2, 1400); !s.out.box.Other.Shared(); {
		t.Fatal("two have none")
	}
	for !s.out.box.Empty() {
		s.take()
	}
	if o := &s.out.box.Other; o.Shared() || !o.Empty() || o.Bytes() != 0 || o.Frames() != 0 {
		t.Error("an empty outbox holds something")
	}
}
