package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mostDepth is how many files deep a reader has to go at most from a command to the
// end of what it calls.
const mostDepth = 6

// A command is a file with its printer, which call what is beneath cmd. Where files
// call each other in a long chain, something has grown here that wants a room.
func TestCommandsAreShallow(t *testing.T) {
	calls := callsBetweenFiles(t)
	for file := range calls {
		if chain := deepest(calls, file, nil); len(chain) > mostDepth {
			t.Errorf("%d files deep: %s", len(chain), strings.Join(chain, " > "))
		}
	}
}

// callsBetweenFiles returns which files each file of this package calls. What other
// packages are does not matter, so they are taken for empty.
func callsBetweenFiles(t *testing.T) map[string][]string {
	t.Helper()
	set := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	info := types.Info{Uses: make(map[*ast.Ident]types.Object)}
	config := types.Config{Importer: nothing{}, Error: func(error) {}}
	config.Check("main", set, files, &info) // its errors are about what others have
	calls := make(map[string][]string)
	for use, object := range info.Uses {
		if _, ok := object.(*types.Func); !ok || object.Pkg() == nil || object.Pkg().Path() != "main" {
			continue
		}
		from, to := set.Position(use.Pos()).Filename, set.Position(object.Pos()).Filename
		if from != to && !slices.Contains(calls[from], to) {
			calls[from] = append(calls[from], to)
		}
	}
	return calls
}

// nothing imports empty packages.
type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}

// deepest returns the longest chain of files from one on, none of them twice.
func deepest(calls map[string][]string, file string, before []string) []string {
	before = append(slices.Clip(before), file)
	longest := before
	for _, next := range calls[file] {
		if slices.Contains(before, next) {
			continue
		}
		if chain := deepest(calls, next, before); len(chain) > len(longest) {
			longest = chain
		}
	}
	return longest
}
