package mesh

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const at1, at2 = "192.0.2.1:443", "192.0.2.2:443"

// jittered reports whether a gap is a pause of that length, jittered.
func jittered(gap, pause time.Duration) bool {
	return gap >= pause/2 && gap <= pause*3/2+time.Millisecond
}

func TestPausesGrowAndAreLoggedOnce(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		stop := w.run()
		pass(2 * time.Minute)
		pause := firstPause
		for i, gap := range w.gaps(at1) {
			if !jittered(gap, pause) {
				t.Errorf("pause %d is %v, want about %v", i, gap, pause)
			}
			pause = min(2*pause, longestPause)
		}
		s := w.stateOf("192.0.2.1")
		if s.Status != Waiting || s.LastError != "refused" || s.NextTry.Before(time.Now()) || s.Addr.String() != at1 {
			t.Errorf("state %+v", s)
		}
		w.log.wantCount(t, "\n", 1)
		w.log.wantCount(t, `level=WARN msg="cannot link to a sibling; trying again" sibling=192.0.2.1 addr=192.0.2.1:443 reason=refused`, 1)

		w.set(at1, good)
		pass(10 * time.Second)
		if s := w.stateOf("192.0.2.1"); s.Status != Linked || s.Since.IsZero() || !s.NextTry.IsZero() {
			t.Errorf("state %+v", s)
		}
		w.log.wantCount(t, `level=INFO msg="linked to a sibling" sibling=192.0.2.1`, 1)
		stop()
		w.log.wantCount(t, "\n", 2)
	})
}

// A sibling that was down for long is dialled as soon as it comes to us itself.
func TestSiblingThatComesBack(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		defer w.run()()
		pass(10 * time.Minute)
		w.set(at1, good)
		pass(time.Millisecond)
		before := w.dialsOf(at1)
		w.came.Send()
		pass(time.Millisecond)
		if s := w.stateOf("192.0.2.1"); s.Status != Linked || w.dialsOf(at1) != before+1 {
			t.Errorf("after %d dials and one more its state is %+v", before, s)
		}
	})
}

// Of two siblings that come soon after each other the second may be ours.
func TestSiblingThatComesSoonAfterAnother(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		defer w.run()()
		for range 20 { // pauses of all lengths
			pass(10 * time.Minute)
			w.came.Send()
			pass(wakePause / 4)
			w.set(at1, lives(time.Minute))
			w.came.Send()
			pass(wakePause)
			w.wantStatus("192.0.2.1", Linked)
			w.set(at1, nil)
		}
	})
}

// Siblings that come again and again do not make us spin.
func TestSiblingsThatComeOften(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		defer w.run()()
		for range 6000 {
			w.came.Send()
			pass(10 * time.Millisecond)
		}
		if n := w.dialsOf(at1); n > 120 {
			t.Errorf("%d dials in a minute", n)
		}
	})
}

// A link that breaks again and again does not make us spin; one that has lived
// is made again at once.
func TestFlappingLink(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		defer w.run()()
		w.set(at1, lives(time.Second))
		pass(2 * time.Minute)
		if n := w.dialsOf(at1); n < 10 || n > 50 {
			t.Errorf("%d dials in two minutes", n)
		}
		w.set(at1, lives(steady))
		pass(10 * time.Second)
		before := len(w.gaps(at1))
		pass(2 * time.Minute)
		for i, gap := range w.gaps(at1)[before+1:] {
			if !jittered(gap-steady, firstPause) {
				t.Errorf("dial %d comes %v after the loss", i, gap-steady)
			}
		}
	})
}

func TestSelfIsGivenUp(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		w.set(at1, fails(relay.ErrSelf))
		defer w.run()()
		pass(time.Hour)
		w.wantStatus("192.0.2.1", Self)
		if n := w.dialsOf(at1); n != 1 {
			t.Errorf("%d dials", n)
		}
		w.log.wantCount(t, "level=INFO", 1)
	})
}

// What has a link by another entry is tried rarely, and at once when a link
// breaks.
func TestSiblingThatIsLinkedAlready(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1,192.0.2.2")}, func(t *testing.T, w *world) {
		w.set(at1, fails(relay.ErrLinked))
		w.set(at2, lives(20*time.Minute+time.Second))
		defer w.run()()
		pass(20 * time.Minute)
		w.wantStatus("192.0.2.1", Known)
		for _, gap := range w.gaps(at1) {
			if !jittered(gap, knownPause) {
				t.Errorf("gap of %v", gap)
			}
		}
		w.log.wantCount(t, "WARN", 0)
		w.set(at1, good)
		pass(time.Second)
		w.wantStatus("192.0.2.1", Linked)
	})
}

func TestWrongMeshKey(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		w.set(at1, fails(fmt.Errorf("%w: %w", relay.ErrNotSibling, io.EOF)))
		defer w.run()()
		pass(10 * time.Minute)
		for i, gap := range w.gaps(at1) {
			if i > 0 && !jittered(gap, operatorPause) {
				t.Errorf("gap %d of %v", i, gap)
			}
		}
		w.log.wantCount(t, "WARN", 1)
		w.log.wantCount(t, "compare the mesh keys", 1)
		w.set(at1, good)
		pass(30 * time.Second)
		w.wantStatus("192.0.2.1", Linked)
	})
}

// Listening to a sibling that announces too much costs something each time.
func TestSiblingThatAnnouncesTooMuch(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		w.set(at1, func(_ context.Context, to relay.Sibling) error {
			to.Linked(key.Public{1})
			return relay.ErrTooManyPeers
		})
		defer w.run()()
		pass(10 * time.Minute)
		for i, gap := range w.gaps(at1) {
			if !jittered(gap, operatorPause) {
				t.Errorf("gap %d of %v", i, gap)
			}
		}
	})
}

// A sibling that answers and tells nothing is left after the time for a try.
func TestMuteSibling(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		w.set(at1, func(ctx context.Context, _ relay.Sibling) error {
			<-ctx.Done()
			return io.ErrClosedPipe
		})
		defer w.run()()
		pass(tryBudget - time.Millisecond)
		w.wantStatus("192.0.2.1", Dialling)
		pass(time.Minute)
		if s := w.stateOf("192.0.2.1"); s.LastError != errMute.Error() {
			t.Errorf("state %+v", s)
		}
	})
}

func TestShutDownRelayLinksNoMore(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		w.set(at1, fails(relay.ErrShutdown))
		defer w.run()()
		pass(time.Hour)
		w.wantStatus("192.0.2.1", Stopped)
		w.log.wantCount(t, "\n", 0)
	})
}

// All addresses of a host are tried within one try, and it is looked up for each.
func TestAddressesInTurn(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "a:443/inside")}, func(t *testing.T, w *world) {
		w.dns["inside"] = []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"}
		w.set(at2, good)
		stop := w.run()
		pass(time.Millisecond)
		if s := w.stateOf("a:443/inside"); s.Status != Linked || s.Addr.String() != at2 {
			t.Errorf("state %+v", s)
		}
		if w.dialsOf(at1) != 1 || w.lookedUp() != 1 {
			t.Errorf("dialled it %d times after %d look-ups", w.dialsOf(at1), w.lookedUp())
		}
		stop()
	})
	inWorld(t, Config{Entries: mustParse(t, "a")}, func(t *testing.T, w *world) {
		w.dns["a"] = []string{"192.0.2.1", "192.0.2.2"}
		defer w.run()()
		pass(time.Millisecond)
		if s := w.stateOf("a"); s.LastError != "192.0.2.1:443: refused; 192.0.2.2:443: refused" {
			t.Errorf("state %+v", s)
		}
		w.setDNS("a", "192.0.2.3")
		w.set("192.0.2.3:443", good)
		pass(time.Second)
		w.wantStatus("a", Linked)
	})
}

// restarts is a sibling that announces its restart after a time, and goes on.
func restarts(after, in time.Duration, then sibling) sibling {
	return func(ctx context.Context, to relay.Sibling) error {
		to.Linked(key.Public{1})
		time.Sleep(after)
		to.Restarting(in, time.Second)
		to.Restarting(in, time.Second)
		to.Linked = func(key.Public) {}
		return then(ctx, to)
	}
}

// The link to what takes over is made before the old one is lost.
func TestRestartingSibling(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		w.set(at1, restarts(time.Minute, 2*time.Second, lives(10*time.Second)))
		defer w.run()()
		pass(time.Minute + time.Second)
		if n := w.dialsOf(at1); n != 1 {
			t.Errorf("%d dials before the time has come", n)
		}
		w.set(at1, nil) // nobody listens for a moment
		pass(2 * time.Second)
		w.wantStatus("192.0.2.1", Linked)
		w.set(at1, good)
		pass(4 * time.Second)
		if open, _ := w.links(); open != 2 {
			t.Errorf("%d links", open)
		}
		pass(10 * time.Second)
		if open, _ := w.links(); open != 1 {
			t.Errorf("%d links", open)
		}
		w.wantStatus("192.0.2.1", Linked)
		w.log.wantCount(t, "WARN", 0)
	})
}

// The old link ends before the time that the sibling asked for.
func TestRestartingSiblingIsGoneEarly(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		w.set(at1, restarts(time.Minute, 30*time.Second, fails(io.EOF)))
		defer w.run()()
		pass(59 * time.Second)
		w.set(at1, nil)
		pass(2 * time.Second)
		w.wantStatus("192.0.2.1", Waiting)
		w.set(at1, good)
		pass(5 * time.Second)
		w.wantStatus("192.0.2.1", Linked)
	})
}

// A sibling that announces restart after restart costs two links and a try every
// few seconds.
func TestSiblingThatAlwaysRestarts(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1")}, func(t *testing.T, w *world) {
		w.set(at1, restarts(time.Millisecond, 0, good))
		defer w.run()()
		pass(2 * time.Minute)
		if n := w.dialsOf(at1); n < 10 || n > 50 {
			t.Errorf("%d dials in two minutes", n)
		}
		if open, most := w.links(); open > 2 || most > 3 { // for an instant, one that is being cancelled
			t.Errorf("%d links, %d at once", open, most)
		}
	})
}
