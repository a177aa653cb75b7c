package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// A source is the commit that a release is made of.
type source struct {
	dir     string
	commit  string
	time    time.Time // of the commit, in UTC: the only time that gets into a release
	version string    // v0.9.0
}

// readSource looks at the clone. A version that is not given is that of the commit's tag.
func readSource(dir, version string, dirty bool) (s source, err error) {
	if s.dir, err = filepath.Abs(dir); err != nil {
		return s, err
	}
	head, err := s.git("show", "--no-patch", "--format=%H %ct", "HEAD")
	if err != nil {
		return s, err
	}
	if _, err := fmt.Sscanf(head, "%s", &s.commit); err != nil {
		return s, fmt.Errorf("git show: %q: %w", head, err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(strings.TrimPrefix(head, s.commit)), 10, 64)
	if err != nil {
		return s, fmt.Errorf("git show: %q: %w", head, err)
	}
	s.time = time.Unix(seconds, 0).UTC()
	changes, err := s.git("status", "--porcelain")
	if err != nil {
		return s, err
	}
	if changes != "" && !dirty {
		return s, errors.New("the tree has changes, which no commit could be made from again: commit them, or say --dirty")
	}
	if s.version, err = s.choose(version); err == nil && changes != "" {
		s.version += "+dirty"
	}
	return s, err
}

// choose is the version that was asked for, that of a tag of the commit, or a pseudo
// version: after the last tag before it, and before the next.
func (s source) choose(asked string) (string, error) {
	if asked != "" {
		return asked, checkVersion(asked)
	}
	here, err := s.git("tag", "--points-at", "HEAD", "--list", "v*")
	if err != nil {
		return "", err
	}
	if last := newest(here); last != "" {
		return last, nil
	}
	before, err := s.git("tag", "--merged", "HEAD", "--list", "v*")
	if err != nil {
		return "", err
	}
	older := newest(before)
	return module.PseudoVersion(semver.Major(older), older, s.time, s.commit[:12]), nil
}

// newest is the newest version among tags; empty: none is one.
func newest(tags string) string {
	versions := slices.DeleteFunc(strings.Fields(tags), func(v string) bool { return checkVersion(v) != nil })
	if len(versions) == 0 {
		return ""
	}
	return slices.MaxFunc(versions, semver.Compare)
}

func checkVersion(v string) error {
	if semver.Canonical(v) != v {
		return fmt.Errorf("%q is no version: want one like v0.9.0, or v0.9.0-rc.1", v)
	}
	return nil
}

// packaged is a version as Debian and rpm have it: what comes before a release sorts
// before it with both, and no dash splits it.
func packaged(version string) string {
	version, metadata, _ := strings.Cut(strings.TrimPrefix(version, "v"), "+")
	number, before, is := strings.Cut(version, "-")
	if is {
		number += "~" + strings.ReplaceAll(before, "-", ".")
	}
	if metadata != "" {
		number += "+" + metadata
	}
	return number
}

func (s source) git(args ...string) (string, error) {
	out, err := run(s.dir, nil, "git", args...)
	return strings.TrimSpace(string(out)), err
}

// run runs a program; what it says is in the error. The variables are added to ours.
func run(dir string, environ []string, program string, args ...string) ([]byte, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(cmd.Environ(), environ...)
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return out, fmt.Errorf("%s %s: %w\n%s", program, args[0], err, failed.Stderr)
	}
	return out, err
}
