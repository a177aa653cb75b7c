package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// all are the platforms that there are programs for.
var all = []string{"linux/amd64", "linux/arm64", "linux/arm", "darwin/amd64", "darwin/arm64", "freebsd/amd64", "windows/amd64"}

// A platform is a system and a processor, as Go names them.
type platform struct{ system, processor string }

func (p platform) String() string { return p.system + "/" + p.processor }

// name is that of files. An arm without a number is the seventh.
func (p platform) name() string {
	if p.processor == "arm" {
		return p.system + "-armv7"
	}
	return p.system + "-" + p.processor
}

// packaged reports whether there are packages and an image for it.
func (p platform) packaged() bool { return p.system == "linux" && p.processor != "arm" }

// program is the name of the program there.
func (p platform) program() string {
	if p.system == "windows" {
		return "detour.exe"
	}
	return "detour"
}

func parsePlatforms(list string) (wanted []platform, err error) {
	for name := range strings.FieldsSeq(list) {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%q is none of %s", name, strings.Join(all, ", "))
		}
		system, processor, _ := strings.Cut(name, "/")
		wanted = append(wanted, platform{system, processor})
	}
	if len(wanted) == 0 {
		return nil, fmt.Errorf("none is named: want some of %s", strings.Join(all, ", "))
	}
	return wanted, nil
}

// settings are all that could change what the compiler makes, so that those of the
// machine do not.
func (p platform) settings() []string {
	return []string{
		"CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false -mod=readonly", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off",
		"GOOS=" + p.system, "GOARCH=" + p.processor, "GOAMD64=v1", "GOARM64=v8.0", "GOARM=7",
	}
}

// stamp is what the program says of itself; cmd/detour/internal/cli reads it.
func (s source) stamp() string {
	const variable = "github.com/detour-relay/detour/cmd/detour/internal/cli.stamp"
	return fmt.Sprintf("-X %s=%s,%s,%s", variable, s.version, s.commit, s.time.Format("2006-01-02T15:04:05Z"))
}

// build compiles the program for a platform, without symbols and DWARF, which are most of
// a debugger's needs and none of a trace's.
func (s source) build(p platform, to string, more ...string) error {
	args := slices.Concat([]string{"build", "-ldflags", "-s -w " + s.stamp(), "-o", to}, more, []string{"./cmd/detour"})
	_, err := run(s.dir, p.settings(), "go", args...)
	return err
}

// host is the platform that the release is made on.
func host() platform { return platform{runtime.GOOS, runtime.GOARCH} }

// manual are what the program writes about itself: pages of the manual in man/, and the
// completion of shells in completions/.
func (s source) manual(tmp string) ([]entry, error) {
	program, dir := filepath.Join(tmp, "manual.exe"), filepath.Join(tmp, "man")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := s.build(host(), program, "-tags", "man"); err != nil {
		return nil, err
	}
	if _, err := run(tmp, nil, program, "man", dir); err != nil {
		return nil, err
	}
	pages, err := readDir(dir, "man/man1")
	if err != nil {
		return nil, err
	}
	for _, shell := range []struct{ name, file string }{{"bash", "detour"}, {"zsh", "_detour"}, {"fish", "detour.fish"}, {"powershell", "detour.ps1"}} {
		text, err := run(tmp, nil, program, "completion", shell.name)
		if err != nil {
			return nil, err
		}
		pages = append(pages, entry{"completions/" + shell.name + "/" + shell.file, 0o644, text})
	}
	return pages, nil
}
