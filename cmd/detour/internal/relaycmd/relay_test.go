package relaycmd

import (
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/config"
)

// Each setting has a flag, and each flag that an error names is one.
func TestEachSettingHasAFlag(t *testing.T) {
	flags := New().Flags()
	for _, setting := range config.Settings() {
		if name := strings.TrimPrefix(FlagName(setting), "--"); flags.Lookup(name) == nil {
			t.Errorf("%s: there is no flag --%s", setting, name)
		}
	}
}
