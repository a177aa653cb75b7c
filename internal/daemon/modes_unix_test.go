//go:build unix

package daemon

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/key"
)

// A key that is not the relay's alone works, and the log says what to do.
func TestOpenModesAreSaidAtTheStart(t *testing.T) {
	const readable, writable, meshReadable = "can read the relay's private key: chmod 600", "can replace what is in the state directory: chmod 700", "can read the mesh key: chmod o="
	for name, test := range map[string]struct {
		dir, relay, mesh fs.FileMode
		want             string // empty: nothing
	}{
		"all closed":               {0o700, 0o600, 0o600, ""},
		"the group may":            {0o770, 0o660, 0o660, ""},
		"readable relay key":       {0o700, 0o604, 0o600, readable},
		"writable state directory": {0o702, 0o600, 0o600, writable},
		"readable mesh key":        {0o700, 0o600, 0o644, meshReadable},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			c := plain()
			c.Dev, c.TLS.Mode, c.StateDir = false, config.TLSOff, filepath.Join(t.TempDir(), "state")
			relayKey, meshKey := filepath.Join(c.StateDir, "relay.key"), filepath.Join(t.TempDir(), "mesh.key")
			c.Mesh.KeyFile = meshKey
			write := func(path, text string) {
				if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(c.StateDir, 0o700); err != nil {
				t.Fatal(err)
			}
			private := key.NewPrivate()
			write(relayKey, private.Text())
			write(meshKey, strings.Repeat("ab", 32))
			for path, mode := range map[string]fs.FileMode{relayKey: test.relay, meshKey: test.mesh, c.StateDir: test.dir} {
				if err := os.Chmod(path, mode); err != nil {
					t.Fatal(err)
				}
			}
			d := open(t, c, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if d.relay.PublicKey() != private.Public() {
				t.Error("the relay has another key")
			}
			for _, warning := range []string{readable, writable, meshReadable} {
				if strings.Contains(log.String(), warning) != (warning == test.want) {
					t.Errorf("want a warning %q: %s", test.want, log.String())
				}
			}
			if test.want != "" && !strings.Contains(log.String(), "level=WARN") {
				t.Errorf("not a warning: %s", log.String())
			}
		})
	}
}
