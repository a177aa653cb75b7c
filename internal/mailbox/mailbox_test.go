package mailbox

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A delivery is what the receiver was handed, and when.
type delivery struct {
	value int
	at    time.Duration
}

// receiver takes his time for each value, and refuses some.
type receiver struct {
	began   time.Time
	takes   time.Duration
	refuses func(delivery) bool // nil: nothing
	got     []delivery
}

var errRefused = errors.New("no")

func (r *receiver) take(_ context.Context, value int) error {
	d := delivery{value, time.Since(r.began)}
	r.got = append(r.got, d)
	time.Sleep(r.takes)
	if r.refuses != nil && r.refuses(d) {
		return errRefused
	}
	return nil
}

// deliver runs the delivery until the result is called.
func deliver(m *Mailbox[int], r *receiver) (stop func()) {
	r.began = time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	go m.Deliver(ctx, r.take)
	return func() {
		cancel()
		synctest.Wait()
	}
}

func TestValuesAreHandedOver(t *testing.T) {
	type put struct {
		value int
		at    time.Duration
	}
	for name, test := range map[string]struct {
		takes time.Duration
		puts  []put
		want  []delivery
	}{
		"none":                        {0, nil, nil},
		"zero is a value":             {0, []put{{0, 1}}, []delivery{{0, 1}}},
		"each, if there is time":      {time.Second, []put{{1, 0}, {2, time.Second}, {3, time.Minute}}, []delivery{{1, 0}, {2, time.Second}, {3, time.Minute}}},
		"the same value again":        {0, []put{{7, 0}, {7, time.Second}}, []delivery{{7, 0}, {7, time.Second}}},
		"the latest, if there is not": {time.Second, []put{{1, 0}, {2, 1}, {3, 2}, {4, 3}}, []delivery{{1, 0}, {4, time.Second}}},
		"two rounds of being slow": {
			time.Second, []put{{1, 0}, {2, 1}, {3, 2}, {4, time.Second + 1}, {5, time.Second + 2}},
			[]delivery{{1, 0}, {3, time.Second}, {5, 2 * time.Second}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, r := New[int](), &receiver{takes: test.takes}
				stop := deliver(m, r)
				synctest.Wait()
				for _, p := range test.puts {
					time.Sleep(p.at - time.Since(r.began))
					m.Put(p.value)
					synctest.Wait()
				}
				time.Sleep(time.Hour)
				stop()
				wantGot(t, r, test.want)
			})
		})
	}
}

func wantGot(t *testing.T, r *receiver, want []delivery) {
	t.Helper()
	for i := range max(len(want), len(r.got)) {
		if i >= len(want) || i >= len(r.got) || r.got[i] != want[i] {
			t.Fatalf("got %v, want %v", r.got, want)
		}
	}
}

// What was put before anybody took deliveries is handed over, too: the latest.
func TestPutBeforeDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := New[int](), new(receiver)
		m.Put(1)
		m.Put(2)
		stop := deliver(m, r)
		time.Sleep(time.Hour)
		stop()
		wantGot(t, r, []delivery{{2, 0}})
	})
}

// jittered reports whether a wait is about d.
func jittered(wait, d time.Duration) bool { return wait >= d-d/4 && wait <= d+d/4 }

// A value that is refused comes again, after pauses that grow up to their bound.
func TestRefusedValuesComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const times = 12
		m, r := New[int](), new(receiver)
		r.refuses = func(delivery) bool { return len(r.got) < times }
		stop := deliver(m, r)
		m.Put(5)
		time.Sleep(time.Hour)
		stop()
		if len(r.got) != times {
			t.Fatalf("%d deliveries, want %d: %v", len(r.got), times, r.got)
		}
		pause := firstRedelivery
		for i, d := range r.got[1:] {
			if wait := d.at - r.got[i].at; d.value != 5 || !jittered(wait, pause) {
				t.Errorf("delivery %d is %v after %v, want a pause of about %v", i+1, d, wait, pause)
			}
			pause = min(2*pause, lastRedelivery)
		}
	})
}

// What is newer takes the place of what was refused, at once, and begins with short
// pauses.
func TestNewerValueReplacesARefusedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := New[int](), new(receiver)
		r.refuses = func(d delivery) bool { return d.value == 1 || r.got[len(r.got)-2].value == 1 }
		stop := deliver(m, r)
		m.Put(1)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		old := len(r.got)
		m.Put(2)
		put := time.Since(r.began)
		time.Sleep(time.Hour)
		stop()
		if old < 8 || len(r.got) != old+2 {
			t.Fatalf("%d deliveries of the old one, %d in all", old, len(r.got))
		}
		for i, d := range r.got {
			if want := 1 + min(1, i/old); d.value != want {
				t.Errorf("delivery %d is %v, want %d", i, d, want)
			}
		}
		if first, second := r.got[old], r.got[old+1]; first.at != put || !jittered(second.at-first.at, firstRedelivery) {
			t.Errorf("the newer one came at %v and %v, want %v and about a second later", first.at, second.at, put)
		}
	})
}

// A value that is put while the one before is being refused is the one that comes.
func TestPutDuringARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New[int]()
		r := &receiver{takes: time.Second, refuses: func(d delivery) bool { return d.value == 1 }}
		stop := deliver(m, r)
		m.Put(1)
		time.Sleep(time.Second / 2)
		m.Put(2)
		time.Sleep(time.Hour)
		stop()
		wantGot(t, r, []delivery{{1, 0}, {2, time.Second}})
	})
}

// The end of the context ends a pause, and nothing is handed over after it.
func TestDeliveryEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, r := New[int](), &receiver{refuses: func(delivery) bool { return true }}
		stop := deliver(m, r)
		m.Put(1)
		time.Sleep(time.Millisecond)
		stop()
		m.Put(2)
		time.Sleep(time.Hour)
		wantGot(t, r, []delivery{{1, 0}})
	})
}
