package relaycmd

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

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

// The shell completes the words of each setting, and offers files only where one is
// wanted.
func TestEachFlagIsCompleted(t *testing.T) {
	cmd := New()
	for _, s := range config.Table() {
		if flag := cmd.Flags().Lookup(s.Flag); flag.Usage == "" || flag.Hidden {
			t.Errorf("--%s has no help", s.Flag)
		}
		complete, ok := cmd.GetFlagCompletionFunc(s.Flag)
		if !ok {
			if !s.File && s.Path != "state-dir" && s.Path != "admin-socket" {
				t.Errorf("--%s is completed with files", s.Flag)
			}
			continue
		}
		words, directive := complete(cmd, nil, "")
		if directive != cobra.ShellCompDirectiveNoFileComp {
			t.Errorf("--%s: %v", s.Flag, directive)
		}
		for _, word := range s.Choices {
			if !slices.Contains(words, word) {
				t.Errorf("--%s is not completed with %s", s.Flag, word)
			}
		}
	}
}

// A relay that has started with the usual file does not take its absence for a file
// that says nothing.
func TestReloadMissesTheUsualFile(t *testing.T) {
	given := []config.Given{{Path: "dev", Text: "true"}}
	for _, file := range []string{"", DefaultFile} {
		s := source{flags: &settingFlags{file: noFile, given: given}} // as if it were not there
		s.current.Store(&config.Loaded{File: file})
		_, err := s.load()
		if wrong := err != nil && strings.Contains(err.Error(), DefaultFile+" is gone: put it back"); wrong != (file != "") {
			t.Errorf("with %q at start: %v", file, err)
		}
	}
}
