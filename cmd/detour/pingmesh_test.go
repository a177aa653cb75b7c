package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/mesh"
)

// Each of two relays has a certificate of its own, and a flag for its pin.
func TestPingAcrossTwoRelays(t *testing.T) {
	near, far := serveSibling(t.Context(), t), serveSibling(t.Context(), t)
	linkTo(t.Context(), t, near, far)
	linkTo(t.Context(), t, far, near)
	out, err := exec.CommandContext(t.Context(), "detour", "ping", "--count", "3", "--interval", "10ms",
		"--cert-name", pinOf(near), "--cert-name2", pinOf(far), urlOf(near), urlOf(far)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := regexp.MustCompile(`(?s)^relay (nodekey:[0-9a-f]{64}) at \S+\n  and (nodekey:[0-9a-f]{64}) at \S+: 64 bytes there and back\n.*\n3 packets sent, 3 came back, 0% lost\n`)
	if m := want.FindSubmatch(out); m == nil || string(m[1]) != near.relay.PublicKey().String() || string(m[2]) != far.relay.PublicKey().String() {
		t.Errorf("%s", out)
	}
}

func pinOf(p *relayProcess) string {
	pin, _ := p.source.Trust()
	return pin
}

// serveSibling runs a relay with a mesh key in this process until the test ends.
func serveSibling(ctx context.Context, tb testing.TB) *relayProcess {
	tb.Helper()
	secret := filepath.Join(tb.TempDir(), "mesh.key")
	if err := os.WriteFile(secret, []byte(strings.Repeat("5a", 32)), 0o600); err != nil {
		tb.Fatal(err)
	}
	f := &relayFlags{stun: stunOff, selfCheck: checkOff, tls: tlsSelf, hostname: "127.0.0.1", stateDir: tb.TempDir(), listen: "127.0.0.1:0"}
	f.mesh.key.File = secret
	p, err := startRelay(f, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.edge.Serve(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		if err := p.stop(); err != nil {
			tb.Error(err)
		}
		<-done
	})
	return p
}

// linkTo keeps a link from one relay to another until the test ends.
func linkTo(ctx context.Context, tb testing.TB, from, to *relayProcess) {
	tb.Helper()
	entries, err := mesh.ParseEntries(to.edge.Addr().String() + "=" + pinOf(to))
	if err != nil {
		tb.Fatal(err)
	}
	m, err := mesh.New(mesh.Config{Relay: from.relay, Entries: entries})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
}

func urlOf(p *relayProcess) string { return "https://" + p.edge.Addr().String() + "/derp" }
