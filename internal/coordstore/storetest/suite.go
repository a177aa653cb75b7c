package storetest

import (
	"testing"

	"github.com/detour-relay/detour/internal/coordstore"
)

// A Fixture is an engine under test. Its buckets are empty.
type Fixture struct {
	// Store is a coordinator's. The suite does not close it.
	Store coordstore.Store
	// Another returns another coordinator's on the same engine. The suite closes it.
	Another func(t *testing.T) coordstore.Store
	// Break makes writes by Store fail, and the watching break, until Heal. If the
	// engine cannot be broken so, both are nil.
	Break, Heal func(t *testing.T)
	// Remake makes a bucket anew.
	Remake func(t *testing.T, bucket string)
}

// Run tests an engine. Each test has a bucket of its own.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	f := open(t)
	tests := []struct {
		name string
		test func(*testing.T, bench)
	}{
		{"writes say whether they were expected", testCompareAndSet},
		{"of several writers one wins each revision", testContention},
		{"a watcher is told all, in order", testOrder},
		{"all watchers end with the same", testConvergence},
		{"a reload shows what has gone meanwhile", testGoneMeanwhile},
		{"a bucket that is made anew has another epoch", testRemake},
		{"keys and values have bounds", testBounds},
		{"a context that has ended is no conflict", testContexts},
		{"what is closed refuses", testClose},
		{"a slow watcher holds up nobody", testSlow},
		{"what is broken heals", testBreak},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.test(t, bench{f, coordstore.Soft(i)}) })
	}
	t.Run("the hard bucket", func(t *testing.T) { testHard(t, bench{f, coordstore.Hard}) })
}
