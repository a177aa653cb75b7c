package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// What fits a reader's head: a package past these bounds is two rooms, a
// function past them tells more than one thing. Tests, and the module of interop
// tests, are left out.
const (
	mostFiles    = 40
	mostLines    = 4000
	mostFunction = 60
)

// moreFiles names packages that may have more files, with the reason in their
// documentation.
var moreFiles = map[string]int{"client": 45}

func TestRoomsAreSmall(t *testing.T) {
	touchSources(t)
	root := filepath.Join("..", "..")
	out, err := exec.Command("git", "-C", root, "ls-files", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, lines := map[string]int{}, map[string]int{}
	for _, name := range strings.Fields(string(out)) {
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "test/") {
			continue
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files[path.Dir(name)]++
		lines[path.Dir(name)] += set.File(parsed.Pos()).LineCount()
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > mostFunction {
				t.Errorf("%s: %s has %d lines, at most %d: which of its steps wants a name?", name, f.Name.Name, n, mostFunction)
			}
		}
	}
	if len(files) < 15 {
		t.Fatalf("only %d packages are seen", len(files))
	}
	for dir, n := range files {
		if most := max(mostFiles, moreFiles[dir]); n > most {
			t.Errorf("%s has %d files, at most %d: is it two rooms?", dir, n, most)
		}
		if lines[dir] > mostLines {
			t.Errorf("%s has %d lines, at most %d: is it two rooms?", dir, lines[dir], mostLines)
		}
	}
}
