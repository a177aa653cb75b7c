//go:build !race

// See alloc_test.go for the reason.

package main

import (
	"testing"
	"time"
)

// Two relays in this process, meshed, and a load that crosses from one to the
// other: what both allocate per packet together.
func TestMeshAllocatesNothingPerPacket(t *testing.T) {
	perPacket, packets := allocationsPerForward(t, 2*time.Second)
	t.Logf("%.5f allocations per packet, %d packets", perPacket, packets)
	if packets < 1000 {
		t.Fatalf("only %d packets were forwarded", packets)
	}
	if limit := 0.01 + 2000/float64(packets); perPacket > limit { // twice that of one relay
		t.Errorf("%.3f allocations per packet, want none", perPacket)
	}
}

// BenchmarkMeshTLS reports the same for the table in docs/performance.md.
func BenchmarkMeshTLS(b *testing.B) {
	for b.Loop() {
		perPacket, packets := allocationsPerForward(b, 3*time.Second)
		b.ReportMetric(perPacket, "allocs/packet")
		b.ReportMetric(float64(packets), "packets")
	}
}

func allocationsPerForward(tb testing.TB, window time.Duration) (float64, uint64) {
	tb.Helper()
	near, far := runSiblings(tb)
	return allocationsUnderLoad(tb, window, func() uint64 { return far.Counters().ForwardedIn }, near.url, far.url)
}
