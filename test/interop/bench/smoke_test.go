package main

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/detour-relay/detour/test/interop/programs"
)

func TestMain(m *testing.M) {
	crowdMain()
	crewMain()
	status := m.Run()
	programs.Clean()
	os.Exit(status)
}

// newStage is a stage whose measurements are as short as they can be.
func newStage(t *testing.T) *stage {
	t.Helper()
	s, err := prepare(t.Context(), options{rounds: 1, seconds: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) }) // and the programs when all tests are over
	return s
}

func TestSTUNOfBothIsMeasured(t *testing.T) {
	s := newStage(t)
	for _, kind := range []relayKind{ours, derper} {
		relay, addr, err := s.startWithSTUN(t.Context(), kind, s.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer relay.kill()
		found, err := stunLoads[0].measure(context.Background(), relay, addr, 100*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if found.Answers < 100 || found.PerS < 1000 || found.CPUUS <= 0 {
			t.Errorf("%s: %+v", kind, found)
		}
	}
}

func TestNodesAreMeasuredInAProcessOfTheirOwn(t *testing.T) {
	found, err := newStage(t).measureNodes(t.Context(), crowdOrder{Nodes: 3, Idle: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if found.Nodes != 3 || found.Heap < 10e3 || found.Stack < 10e3 {
		t.Errorf("%+v", found)
	}
	r := fixture()
	r.Nodes = &nodeMemory{Heap: 100 << 10, Stack: 51 << 10}
	if l := lineOf(t, "node-memory", r); *l.Ours != 151 || l.Status != statusMissed {
		t.Errorf("%+v", l)
	}
}

func TestTrafficFindsTheSecondRelay(t *testing.T) {
	found, err := newStage(t).loseFirst(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{losingStopped, losingSwallowed, losingKilled} {
		if f := found[way]; f == nil || len(f.GapsMS) != losingPairs || f.GapsMS[0] <= 0 {
			t.Errorf("%s: %+v", way, f)
		}
	}
}
