package mesh

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// conns counts conns that would rather be on a node, as the relay does.
type conns struct {
	mu      sync.Mutex
	waiting map[string]int
	closed  map[string]int
}

func (c *conns) close(ideal string, quiet time.Duration, atMost int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(c.waiting[ideal], atMost)
	if quiet != rebalanceQuiet {
		panic("not in a quiet moment")
	}
	c.waiting[ideal] -= n
	c.closed[ideal] += n
	return n
}

// soFar returns what was closed, by node.
func (c *conns) soFar() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.closed)
}

// Peers go back to nodes that have been linked for a while, a few each second.
func TestRebalancing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &conns{waiting: map[string]int{"1a": 12, "1b": 12, "1c": 12}, closed: map[string]int{}}
		began := time.Now()
		log := &lines{}
		r := rebalancer{
			nodes: map[string]string{"1a": "a", "1b": "b"},
			linkedSince: func(entry string) (time.Time, bool) {
				return began, entry == "a" || time.Since(began) > time.Hour
			},
			closeNotIdeal: c.close, logger: log.logger(),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.run(ctx)
		}()
		defer func() { cancel(); <-done }()

		pass(settled - time.Millisecond)
		if got := c.soFar(); len(got) > 0 {
			t.Errorf("closed %v too soon", got)
		}
		pass(time.Second)
		if got, want := c.soFar(), map[string]int{"1a": rebalanceAtMost}; !maps.Equal(got, want) {
			t.Errorf("closed %v in the first second, want %v", got, want)
		}
		pass(time.Minute)
		if got, want := c.soFar(), map[string]int{"1a": 12}; !maps.Equal(got, want) {
			t.Errorf("closed %v, want %v", got, want)
		}
		log.wantCount(t, "node=1a count=12", 1)
		pass(time.Hour)
		if got, want := c.soFar(), map[string]int{"1a": 12, "1b": 12}; !maps.Equal(got, want) {
			t.Errorf("closed %v, want %v", got, want)
		}
		c.mu.Lock()
		c.waiting["1a"], c.waiting["1b"] = 10, 10
		clear(c.closed)
		c.mu.Unlock()
		pass(2 * time.Second)
		if got := c.soFar(); got["1a"]+got["1b"] != 2*rebalanceAtMost {
			t.Errorf("closed %v in two seconds", got)
		}
	})
}

// A sibling counts from its latest link on, and a name counts when all that it
// leads to is linked.
func TestLinkedSince(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1"), DNS: []string{"relays"}}, func(t *testing.T, w *world) {
		w.setDNS("relays", "192.0.2.2", "192.0.2.3")
		w.set(at1, lives(time.Minute))
		w.set(at2, good)
		stop := w.run()
		pass(time.Second)
		if since, ok := w.mesh.linkedSince("192.0.2.1"); !ok || time.Since(since) != time.Second {
			t.Errorf("since %v, %v", since, ok)
		}
		if _, ok := w.mesh.linkedSince("relays"); ok {
			t.Error("a name is linked whose siblings are not")
		}
		if _, ok := w.mesh.linkedSince("other"); ok {
			t.Error("what does not exist is linked")
		}
		w.set(at3, good)
		pass(time.Minute)
		if since, ok := w.mesh.linkedSince("relays"); !ok || time.Since(since) > time.Minute {
			t.Errorf("since %v, %v", since, ok)
		}
		if since, ok := w.mesh.linkedSince("192.0.2.1"); !ok || time.Since(since) > time.Second {
			t.Errorf("since %v, %v", since, ok)
		}
		stop()
	})
}

func TestRebalancingIsPartOfTheMesh(t *testing.T) {
	inWorld(t, Config{Entries: mustParse(t, "192.0.2.1"), Rebalance: map[string]string{"1a": "192.0.2.1"}}, func(t *testing.T, w *world) {
		c := &conns{waiting: map[string]int{"1a": 1}, closed: map[string]int{}}
		w.mesh.closeNotIdeal = c.close
		w.set(at1, good)
		stop := w.run()
		pass(time.Minute)
		if got := c.soFar(); got["1a"] != 1 {
			t.Errorf("closed %v", got)
		}
		stop()
	})
}
