//go:build !race

// The race detector makes sync.Pool forget things on purpose, which allocates.

package main

import (
	"context"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
)

// A relay in this process under load from another one, over TLS 1.3 with a
// record per packet: what it allocates per packet, engine, edge and crypto/tls
// together. The program is built with default.pgo, and so is this test; see
// docs/decisions/0003-profile-guided-build.md.
func TestRelayAllocatesNothingPerPacket(t *testing.T) {
	for name, limits := range map[string]config.Limits{
		"no limits": {}, "limits that are not hit": {In: 1e9, Out: 1e9, Total: 1e10}, "a total that is": {Total: 10e6},
	} {
		t.Run(name, func(t *testing.T) {
			perPacket, packets := allocationsPerPacket(t, 2*time.Second, limits)
			t.Logf("%.5f allocations per packet, %d packets", perPacket, packets)
			if packets < 1000 {
				t.Fatalf("only %d packets were relayed", packets)
			}
			// Pools that a garbage collection emptied are filled again, timers fire: that
			// is a few hundred allocations in all, whatever the number of packets.
			if limit := 0.01 + 1000/float64(packets); perPacket > limit {
				t.Errorf("%.3f allocations per packet, want none", perPacket)
			}
		})
	}
}

// BenchmarkRelayTLS reports the same for the table in docs/performance.md.
func BenchmarkRelayTLS(b *testing.B) {
	for b.Loop() {
		perPacket, packets := allocationsPerPacket(b, 3*time.Second, config.Limits{})
		b.ReportMetric(perPacket, "allocs/packet")
		b.ReportMetric(float64(packets), "packets")
	}
}

func allocationsPerPacket(tb testing.TB, window time.Duration, limits config.Limits) (float64, uint64) {
	tb.Helper()
	c := quiet(tb)
	c.Limits = limits
	r := runTestRelay(tb, c, nil)
	return allocationsUnderLoad(tb, window, func() uint64 { return r.Counters().Sent.Other.Packets }, r.url)
}

// allocationsUnderLoad puts a load on relays of this process for as long as it takes,
// and returns how much was allocated for each of the packets that were counted.
func allocationsUnderLoad(tb testing.TB, window time.Duration, packets func() uint64, urls ...string) (perPacket float64, counted uint64) {
	tb.Helper()
	const limit = 2 * time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	load := exec.CommandContext(ctx, "detour", slices.Concat([]string{"bench", "--insecure", "--rate", "200M", "--burst", "8",
		"--duration", limit.String()}, urls)...)
	load.Stdout, load.Stderr = io.Discard, io.Discard
	defer func() {
		cancel()
		load.Wait()
	}()
	if err := load.Start(); err != nil {
		tb.Fatal(err)
	}
	for packets() < 20_000 { // logins, pools and stacks are behind us
		select {
		case <-ctx.Done():
			tb.Fatal("the load did not come up")
		case <-time.After(50 * time.Millisecond):
		}
	}
	var before, after runtime.MemStats
	counted = packets()
	runtime.ReadMemStats(&before)
	time.Sleep(window)
	runtime.ReadMemStats(&after)
	counted = packets() - counted
	return float64(after.Mallocs-before.Mallocs) / float64(max(1, counted)), counted
}
