package wheel

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

type thing struct {
	entry Entry[thing]
	ahead int // ticks from its last turn to the next
	due   int // the tick of its next turn
}

// Whoever comes and goes, each thing has its turn at the tick it asked for.
func TestThingsAreDueInTime(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 5))
	w := New(func(t *thing) *Entry[thing] { return &t.entry }, func(t *thing) int { return t.ahead })
	in := map[*thing]bool{}
	for tick := range 5000 {
		for range random.IntN(3) {
			ahead := random.IntN(Farthest + 1)
			a := &thing{ahead: ahead, due: tick + ahead}
			w.Add(a)
			in[a] = true
		}
		for a := range in {
			if random.IntN(300) == 0 {
				w.Remove(a)
				w.Remove(a) // again has no effect
				delete(in, a)
			}
		}
		w.Turn()
		for a := w.Due(); a != nil; a = w.Due() {
			if !in[a] || a.due != tick {
				t.Fatalf("due at %d, in %v, want %d", tick, in[a], a.due)
			}
			a.due += 1 + a.ahead
		}
		for a := range in {
			if a.due <= tick {
				t.Fatalf("not due at %d, want %d", tick, a.due)
			}
		}
	}
	if w.Len() != len(in) {
		t.Errorf("%d things in the wheel, want %d", w.Len(), len(in))
	}
}

// Who is hastened has a turn sooner, and from then on when it asks for one; they do not
// have it together. Who is not in stays out.
func TestHastenedThingsAreSpread(t *testing.T) {
	w := New(func(t *thing) *Entry[thing] { return &t.entry }, func(t *thing) int { return t.ahead })
	things := make([]thing, 1000)
	for i := range things {
		things[i].ahead = Farthest
		w.Add(&things[i])
	}
	for i := range things {
		things[i].ahead = 9
		w.Hasten(&things[i])
	}
	w.Hasten(&thing{ahead: 9})
	for tick := range 100 {
		w.Turn()
		due := 0
		for w.Due() != nil {
			due++
		}
		if due < 50 || due > 200 {
			t.Errorf("%d of %d at tick %d", due, len(things), tick)
		}
	}
	if w.Len() != len(things) {
		t.Errorf("%d things in the wheel", w.Len())
	}
}

// A thing may be taken out before it was put in.
func TestThingsThatAreNotIn(t *testing.T) {
	w := New(func(t *thing) *Entry[thing] { return &t.entry }, func(t *thing) int { return t.ahead })
	w.Remove(new(thing))
	for range 2 * slots {
		if w.Turn(); w.Due() != nil {
			t.Fatal("nothing is in, but something is due")
		}
	}
}

func TestClockCountsTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := 0
		c := NewClock(time.Second, func() { turns++ })
		time.Sleep(10 * time.Second)
		if c.Now() != 1 {
			t.Errorf("tick %d before the start", c.Now())
		}
		c.Start()
		c.Start()
		time.Sleep(10*time.Second + time.Millisecond)
		c.Stop()
		c.Stop()
		if turns != 10 || c.Now() != 11 {
			t.Errorf("%d turns, tick %d", turns, c.Now())
		}
	})
}
