package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/semver"
)

func TestPackagedVersions(t *testing.T) {
	for _, test := range []struct{ version, want string }{
		{"v0.9.0", "0.9.0"},
		{"v1.2.3-rc.1", "1.2.3~rc.1"},
		{"v0.0.0-20261129120000-0123456789ab", "0.0.0~20261129120000.0123456789ab"},
		{"v0.9.1-0.20261129120000-0123456789ab+dirty", "0.9.1~0.20261129120000.0123456789ab+dirty"},
	} {
		if got := packaged(test.version); got != test.want {
			t.Errorf("%s: %s, want %s", test.version, got, test.want)
		}
	}
}

// A clone of one commit, and what its version is as tags come.
func TestVersionOfACommit(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		for _, name := range []string{"GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"} {
			t.Setenv(name, "a@example.com")
		}
		t.Setenv("GIT_COMMITTER_DATE", "2026-11-29T12:00:00Z")
		if _, err := run(dir, nil, "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	commit := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		git("add", ".")
		git("commit", "--message", text)
	}
	want := func(version string) {
		t.Helper()
		s, err := readSource(dir, "", false)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.version; got != version && got != version+"-"+s.commit[:12] {
			t.Errorf("%s, want %s", got, version)
		}
	}
	git("init", "--quiet")
	commit("one")
	want("v0.0.0-20261129120000")
	git("tag", "vain")
	git("tag", "v0.9.0")
	want("v0.9.0")
	git("tag", "v0.10.0")
	want("v0.10.0")
	commit("two")
	want("v0.10.1-0.20261129120000")

	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSource(dir, "", false); err == nil {
		t.Error("a tree with changes is taken")
	}
	s, err := readSource(dir, "v1.0.0", true)
	if err != nil || s.version != "v1.0.0+dirty" || !semver.IsValid(s.version) {
		t.Errorf("%s (%v), want v1.0.0+dirty", s.version, err)
	}
	for _, bad := range []string{"1.0.0", "v1.0", "v1", "v1.0.0+x", "v1.0.0\n", "latest"} {
		if _, err := readSource(dir, bad, true); err == nil {
			t.Errorf("%q is taken for a version", bad)
		}
	}
}
