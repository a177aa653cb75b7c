//go:build !race

// See alloc_test.go for the reason.

package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/certs"
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
	far := serveSibling(ctx, tb, "")
	pin, _ := far.source.(*certs.Self).Pin()
	near := serveSibling(ctx, tb, far.edge.Addr().String()+"="+pin)

	load := exec.CommandContext(ctx, "detour", "bench", "--insecure", "--rate", "200M", "--burst", "8",
		"--duration", (window + 2*time.Second).String(), urlOf(near), urlOf(far))
	load.Stdout, load.Stderr = io.Discard, io.Discard
	if err := load.Start(); err != nil {
		tb.Fatal(err)
	}
	defer load.Wait()

	for far.relay.Snapshot().ForwardedIn < 20_000 { // logins, pools and stacks are behind us
		select {
		case <-ctx.Done():
			tb.Fatal("the load did not come up")
		case <-time.After(50 * time.Millisecond):
		}
	}
	var before, after runtime.MemStats
	forwarded := far.relay.Snapshot().ForwardedIn
	runtime.ReadMemStats(&before)
	time.Sleep(window)
	runtime.ReadMemStats(&after)
	forwarded = far.relay.Snapshot().ForwardedIn - forwarded
	return float64(after.Mallocs-before.Mallocs) / float64(max(1, forwarded)), forwarded
}

// serveSibling runs a relay in this process until the test ends. Without siblings
// it only admits them.
func serveSibling(ctx context.Context, tb testing.TB, siblings string) *relayProcess {
	tb.Helper()
	secret := filepath.Join(tb.TempDir(), "mesh.key")
	if err := os.WriteFile(secret, []byte(strings.Repeat("5a", 32)), 0o600); err != nil {
		tb.Fatal(err)
	}
	f := &relayFlags{tls: tlsSelf, hostname: "127.0.0.1", stateDir: tb.TempDir(), listen: "127.0.0.1:0"}
	f.mesh.key.file, f.mesh.with = secret, siblings
	if err := f.mesh.settle(); err != nil {
		tb.Fatal(err)
	}
	p, err := startRelay(f, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{}, 2)
	go func() { p.edge.Serve(ctx); done <- struct{}{} }()
	go func() {
		if p.mesh != nil {
			p.mesh.Run(ctx)
		}
		done <- struct{}{}
	}()
	tb.Cleanup(func() {
		cancel()
		if err := p.stop(); err != nil {
			tb.Error(err)
		}
		<-done
		<-done
	})
	return p
}

func urlOf(p *relayProcess) string { return "https://" + p.edge.Addr().String() + "/derp" }
