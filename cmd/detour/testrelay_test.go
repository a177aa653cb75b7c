package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/meshkey"
)

// A testRelay runs in this process until the test ends.
type testRelay struct {
	*daemon.Daemon
	url string
	pin string
}

// quiet are the settings of a relay that does nothing by itself.
func quiet(tb testing.TB) config.Config {
	c := config.Defaults()
	c.Listen, c.Hostname, c.TLS.Mode, c.StateDir = "127.0.0.1:0", "127.0.0.1", config.TLSSelf, tb.TempDir()
	c.STUN, c.SelfCheck, c.Drain = config.STUNOff, config.CheckOff, 0
	return c
}

// runRelay runs a relay with the settings.
func runTestRelay(tb testing.TB, c config.Config, listener net.Listener) *testRelay {
	tb.Helper()
	d, err := daemon.Open(c, daemon.Options{Logger: slog.New(slog.DiscardHandler), Listener: listener})
	if err != nil {
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.Run(context.Background()) }()
	tb.Cleanup(func() {
		d.Stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	now := d.State()
	return &testRelay{d, now.URL, now.Pin}
}

// runSiblings runs two relays with TLS that are linked to each other.
func runSiblings(tb testing.TB) (near, far *testRelay) {
	tb.Helper()
	keyFile := tb.TempDir() + "/mesh.key"
	if err := meshkey.Create(keyFile, meshkey.New()); err != nil {
		tb.Fatal(err)
	}
	var cs [2]config.Config
	var listeners [2]net.Listener
	for i := range cs {
		cs[i] = quiet(tb)
		cs[i].Mesh.KeyFile = keyFile
	}
	for i := range cs {
		self, err := certs.OpenSelf(certs.SelfConfig{Host: "127.0.0.1", StateDir: cs[i].StateDir, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			tb.Fatal(err)
		}
		if listeners[i], err = daemon.Listen("127.0.0.1:0"); err != nil {
			tb.Fatal(err)
		}
		pin, _ := self.Trust()
		cs[1-i].Mesh.With = []string{fmt.Sprintf("%s=%s", listeners[i].Addr(), pin)}
	}
	near, far = runTestRelay(tb, cs[0], listeners[0]), runTestRelay(tb, cs[1], listeners[1])
	near.awaitLink(tb)
	far.awaitLink(tb)
	return near, far
}

func (r *testRelay) awaitLink(tb testing.TB) {
	tb.Helper()
	for deadline := time.Now().Add(timeout); r.State().Siblings[0].Status != mesh.Linked; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("no link: %+v", r.State().Siblings)
		}
	}
}
