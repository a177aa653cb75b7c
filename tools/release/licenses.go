package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const licensesFile = "THIRD-PARTY.txt"

// licenseName is what files with terms are called.
var licenseName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// licenses are the terms of all that is linked into the programs of these platforms, Go's
// library first, which most of them want to be handed out with the program.
func (s source) licenses(platforms []platform) ([]byte, error) {
	home, err := run(s.dir, nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	modules := []string{}
	for _, p := range platforms {
		out, err := run(s.dir, p.settings(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/detour")
		if err != nil {
			return nil, err
		}
		modules = append(modules, strings.Split(strings.TrimSpace(string(out)), "\n")...)
	}
	slices.Sort(modules)
	var b bytes.Buffer
	b.WriteString("What is linked into detour, and its terms.\n")
	for _, module := range append([]string{"the library of Go\t" + strings.TrimSpace(string(home))}, slices.Compact(modules)...) {
		name, dir, is := strings.Cut(module, "\t")
		if !is {
			continue
		}
		if err := terms(&b, name, dir); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// terms adds those of one module.
func terms(b *bytes.Buffer, name, dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, f := range files {
		if f.IsDir() || !licenseName.MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "\n%s\n%s, %s\n\n%s\n", strings.Repeat("=", 72), name, f.Name(), bytes.TrimSpace(text))
		found = true
	}
	if !found {
		return fmt.Errorf("%s has no file with its terms in %s", name, dir)
	}
	return nil
}
