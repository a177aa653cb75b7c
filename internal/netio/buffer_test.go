//go:build !race

// The race detector makes sync.Pool forget things on purpose, which allocates.

package netio

import "testing"

// A stream that stalls and goes on again and again takes its buffers from pools.
func TestParkingAllocatesNothing(t *testing.T) {
	for _, n := range []int{20, 1400, 5000, 40_000, 66 << 10} {
		var in readBuf
		in.preload(make([]byte, n))
		if got := testing.AllocsPerRun(100, func() { in.room(); in.park() }); got >= 1 {
			t.Errorf("a rest of %d bytes: %v allocations", n, got)
		}
	}
}
