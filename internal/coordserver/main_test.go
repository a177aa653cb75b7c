package coordserver

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dev are the settings of a coordinator that keeps nothing. Its admin socket would be
// that of the whole machine.
func dev(t *testing.T) Config {
	t.Helper()
	c := Defaults()
	c.Front.Dev, c.Front.Listen, c.Front.AdminSocket = true, "127.0.0.1:0", filepath.Join(shortDir(t), "admin.sock")
	return c
}

// shortDir is a directory until the test ends: sockets have short paths.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// kept are the settings of one with TLS that keeps its state.
func kept(t *testing.T) Config {
	t.Helper()
	c := Defaults()
	c.Front.Listen, c.Front.Hostname, c.Front.TLS.Mode, c.Front.StateDir = "127.0.0.1:0", "127.0.0.1", config.TLSSelf, filepath.Join(shortDir(t), "state")
	return c
}

// run opens and runs a coordinator until end is called, or the test ends.
func run(t *testing.T, c Config, o Options) (s *Server, end func()) {
	t.Helper()
	s, err := Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() error { close(ready); return nil }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return s, end
}
