package relaycmd

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
)

func dist(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "dist", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var commentedOut = regexp.MustCompile(`(?m)^#  (\w+:)`)

// The file that we hand out is a whole one, also with what it has commented out.
func TestTheExampleIsWhole(t *testing.T) {
	text := dist(t, "relay.yaml")
	for _, contents := range []string{text, commentedOut.ReplaceAllString(text, "  $1")} {
		l := config.Load(config.Sources{File: "relay.yaml", Contents: []byte(contents)})
		if err := unusable(l); err != nil {
			t.Error(err)
		}
		c, err := daemon.Complete(l.Config, nil)
		if err != nil || daemon.CheckAccess(c) != nil || c.TLS.Mode != config.TLSFiles || len(c.Mesh.With) != 3 {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// The unit starts with that file, and gives it more time than it asks for.
func TestTheUnitHasTheFile(t *testing.T) {
	unit := dist(t, "detour.service")
	for _, want := range []string{
		"\nExecStart=/usr/local/bin/detour relay --config " + DefaultFile + "\n", "\nRestartPreventExitStatus=2\n", "\nTimeoutStopSec=60\n", "\nType=notify-reload\n",
	} {
		if !strings.Contains(unit, want) {
			t.Errorf("the unit has no line %q", want)
		}
	}
}
