package main

import (
	"strings"
	"testing"
)

func TestPlatforms(t *testing.T) {
	got, err := parsePlatforms("linux/arm windows/amd64")
	if err != nil || len(got) != 2 || got[0].name() != "linux-armv7" || got[0].program() != "detour" || got[1].program() != "detour.exe" {
		t.Errorf("%v (%v)", got, err)
	}
	if got, err := parsePlatforms(strings.Join(all, " ")); err != nil || len(got) != len(all) {
		t.Errorf("%v (%v)", got, err)
	}
	for _, bad := range []string{"", "linux", "linux/amd64,linux/arm64", "plan9/amd64"} {
		if got, err := parsePlatforms(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
}

// No command line is half read.
func TestBadCommandLines(t *testing.T) {
	for _, line := range []string{"--platforms x", "--version 1", "extra", "--source /nonexistent"} {
		if _, err := command(append([]string{"--dirty"}, strings.Fields(line)...)); err == nil {
			t.Errorf("%s is taken", line)
		}
	}
}
