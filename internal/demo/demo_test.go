package demo

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/logtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines is a log that several goroutines write.
type lines struct{ logtest.Log }

func small(t *testing.T, log *lines) Config {
	t.Setenv("TMPDIR", t.TempDir())
	return Config{
		Regions: 1, Nodes: 2, Host: netip.MustParseAddr("127.0.0.1"), LogLevel: "warn",
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// All relays drain before any stops, so none misses another, and nothing is left.
func TestDemoEndsInSilence(t *testing.T) {
	var log lines
	d, err := Open(small(t, &log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = d.Run(ctx, func() error {
		now := d.State()
		if len(now.Regions) != 1 || len(now.Regions[0].Nodes) != 2 || now.Regions[0].Nodes[0].CertName == now.Regions[0].Nodes[1].CertName {
			t.Errorf("%+v", now)
		}
		if _, err := os.Stat(now.MapFile); err != nil {
			t.Error(err)
		}
		cancel()
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
		t.Errorf("the log says:\n%s", text)
	}
	if _, err := os.Stat(d.state.dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
}

func TestDemoEndsWithItsParts(t *testing.T) {
	for name, test := range map[string]struct {
		fail func(*Demo)
		want string
	}{
		"a relay":        {func(d *Demo) { d.relays()[1].daemon.Stop() }, "relay 900b has ended unasked: it does not say why"},
		"the map server": {func(d *Demo) { d.maps.Close() }, "map server has ended unasked: "},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			d, err := Open(small(t, &log))
			if err != nil {
				t.Fatal(err)
			}
			err = d.Run(t.Context(), func() error { test.fail(d); return nil })
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
			if text := log.String(); strings.Count(text, `msg="a part of the demo has ended`) != 1 {
				t.Errorf("the log says:\n%s", text)
			}
		})
	}
}

// The settings of a relay are not those of a demo, so its remedy does not do.
func TestDemoSaysWhatToDoAboutATakenPort(t *testing.T) {
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var log lines
	d := &Demo{config: small(t, &log), log: slog.New(slog.DiscardHandler), state: state{dir: t.TempDir()}}
	_, err = d.prepare("900a", taken.LocalAddr().(*net.UDPAddr).Port)
	if err == nil || !strings.HasPrefix(err.Error(), "relay 900a: listen ") ||
		!strings.HasSuffix(err.Error(), ": stop what listens there, or choose other ports with port (0: any free ones)") {
		t.Error(err)
	}
}

func TestOpenLeavesNothingBehind(t *testing.T) {
	var log lines
	c := small(t, &log)
	c.MapFile = filepath.Join("nowhere", "derp.json")
	if _, err := Open(c); err == nil || !strings.HasPrefix(err.Error(), "map: ") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 || err != nil {
		t.Errorf("%v, %v", left, err)
	}
}

func TestState(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := openState("")
	if err != nil {
		t.Fatal(err)
	}
	path, err := s.meshKeyFile()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mesh key: %v, %v", info, err)
	}
	before, _ := os.ReadFile(path)
	if _, err := s.meshKeyFile(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) || len(before) == 0 {
		t.Errorf("the mesh key is another")
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
	kept, err := openState(filepath.Join(t.TempDir(), "deep", "state"))
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.close(); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(kept.dir); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
}
