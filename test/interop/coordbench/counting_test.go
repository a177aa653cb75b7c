package coordbench

import (
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/key"
)

func TestWhatIsLostOutsideOfTheMove(t *testing.T) {
	began := time.Unix(1000, 0)
	var sent []time.Time
	for n := range 60 {
		sent = append(sent, began.Add(time.Duration(n)*time.Second))
	}
	got := map[uint64]bool{}
	for n := range uint64(60) {
		got[n] = true
	}
	for _, n := range []uint64{5, 10, 15, 28, 29, 59} {
		delete(got, n)
	}
	// Down from 10 s to 20 s; a client is back at 29 s at the latest.
	all, lost, inside := count(sent, got, span{began.Add(10 * time.Second), began.Add(20 * time.Second)})
	if all != 60 || lost != 3 || inside != 3 {
		t.Errorf("of %d packets %d are lost, and %d in the move", all, lost, inside)
	}
	if _, lost, inside := count(sent, got, span{}); lost != 6 || inside != 0 {
		t.Errorf("without a move %d are lost, and %d in it", lost, inside)
	}
}

func TestAWatcherNoticesWhatIsOutOfOrder(t *testing.T) {
	m := &model{Place: &Place{Talk: t.Logf}}
	w := &watcher{m: m}
	k, other := key.NewPrivate().Public(), key.NewPrivate().Public()
	tell := func(kind string, k key.Public, n uint64) {
		e := &coordapi.Event{Type: kind, Key: k}
		if kind == coordapi.EventPeer {
			e = &coordapi.Event{Type: kind, Peer: &coordapi.Peer{Key: k, Disco: numbered(n)}}
		}
		w.Event(0, e)
	}
	tell(coordapi.EventSnapshot, key.Public{}, 0)
	tell(coordapi.EventPeer, k, 3)
	tell(coordapi.EventPeer, other, 1)
	tell(coordapi.EventAt, key.Public{}, 0)
	tell(coordapi.EventPeer, k, 7) // not complete: it does not count
	tell(coordapi.EventResumed, key.Public{}, 0)
	tell(coordapi.EventPeer, k, 5)
	tell(coordapi.EventGone, other, 0)
	if n := different(map[key.Public]uint64{k: 3, other: 1}, w.view); n != 0 {
		t.Errorf("what is not complete is in the view: %v", w.view)
	}
	tell(coordapi.EventAt, key.Public{}, 0)
	tell(coordapi.EventSnapshot, key.Public{}, 0)
	tell(coordapi.EventPeer, k, 0) // the engine does not know: it stays
	tell(coordapi.EventAt, key.Public{}, 0)
	if n := different(map[key.Public]uint64{k: 5}, w.view); n != 0 || m.disorder.Load() != 0 {
		t.Errorf("%v, %d out of order", w.view, m.disorder.Load())
	}
	tell(coordapi.EventPeer, k, 4)
	if m.disorder.Load() != 1 {
		t.Error("an older report after a newer one is not noticed")
	}
}

func TestDifferences(t *testing.T) {
	a, b, c := key.Public{1}, key.Public{2}, key.Public{3}
	if n := different(map[key.Public]uint64{a: 1, b: 2}, map[key.Public]uint64{b: 1, c: 1}); n != 3 {
		t.Error(n)
	}
	if n := (Model{Lost: 1, Disorder: 2, Different: 4}).Wrong(); n != 7 {
		t.Error(n)
	}
}

func TestCPUTime(t *testing.T) {
	got, err := cpuOf("42 (a ) b) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1 1 1")
	if err != nil || got != 2*time.Second {
		t.Error(got, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x) S 1 42 42 0 -1 4194560 1 0 0 0 a b 0 0"} {
		if _, err := cpuOf(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestHowManyTailnetsFit(t *testing.T) {
	for _, test := range []struct {
		descriptors uint64
		want        int
	}{{20_000, 1900}, {21_000, 2000}, {1 << 20, 2000}, {1009, 0}, {1010, 1}, {10, 0}} {
		if got := fits(2000, 10, test.descriptors); got != test.want {
			t.Errorf("%d descriptors: %d tailnets", test.descriptors, got)
		}
	}
}

func TestReplicasThatAreCurrent(t *testing.T) {
	replicas := func(current ...bool) *coordstore.State {
		s := &coordstore.State{Writable: true}
		for _, c := range current {
			s.Replicas = append(s.Replicas, coordstore.ReplicaState{Current: c})
		}
		return s
	}
	for name, test := range map[string]struct {
		s    status
		want bool
	}{
		"all":       {status{Engine: replicas(true, true, true)}, true},
		"one lags":  {status{Engine: replicas(true, true, false)}, false},
		"one less":  {status{Engine: replicas(true, true)}, false},
		"not ready": {status{Engine: replicas(true, true, true), NotReady: "it waits"}, false},
		"no engine": {status{}, false},
		"no quorum": {status{Engine: &coordstore.State{Replicas: replicas(true, true, true).Replicas}}, false},
	} {
		if got := isCurrent(test.s, 3); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTheStormIsComputedFromWhatOneResumeCosts(t *testing.T) {
	s := Simulation{Members: 1_000_000, Cores: 2, Storm: Resumes{CPU: 500}}
	if s.StormPerSecond() != 4000 || s.Coordinators(30*time.Second) != 9 || s.Coordinators(time.Minute) != 5 {
		t.Error(s.StormPerSecond(), s.Coordinators(30*time.Second), s.Coordinators(time.Minute))
	}
}
