//go:build !race

// See alloc_test.go for the reason.

package main

import (
	"context"
	"io"
	"os/exec"
	"runtime"
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
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	near, far := runSiblings(tb)

	load := exec.CommandContext(ctx, "detour", "bench", "--insecure", "--rate", "200M", "--burst", "8",
		"--duration", (window + 2*time.Second).String(), near.url, far.url)
	load.Stdout, load.Stderr = io.Discard, io.Discard
	if err := load.Start(); err != nil {
		tb.Fatal(err)
	}
	defer load.Wait()

	for far.Counters().ForwardedIn < 20_000 { // logins, pools and stacks are behind us
		select {
		case <-ctx.Done():
			tb.Fatal("the load did not come up")
		case <-time.After(50 * time.Millisecond):
		}
	}
	var before, after runtime.MemStats
	forwarded := far.Counters().ForwardedIn
	runtime.ReadMemStats(&before)
	time.Sleep(window)
	runtime.ReadMemStats(&after)
	forwarded = far.Counters().ForwardedIn - forwarded
	return float64(after.Mallocs-before.Mallocs) / float64(max(1, forwarded)), forwarded
}
