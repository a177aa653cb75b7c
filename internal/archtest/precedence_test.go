package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// In Go | and ^ bind equally, as + and - do, and & binds tighter: a^b|c^d is not
// what readers of C take it for, and neither vet nor staticcheck says so. A
// comparison of keys was wrong by that, so each mixture needs brackets.
func TestBitOperatorsAreNotMixed(t *testing.T) {
	touchSources(t)
	out, err := exec.Command("git", "-C", filepath.Join("..", ".."), "ls-files", "*.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Fields(string(out))
	if len(files) < 100 {
		t.Fatalf("git lists %d Go files only", len(files))
	}
	for _, name := range files {
		for _, at := range mixed(t, filepath.Join("..", "..", name), nil) {
			t.Errorf("%s: | and ^, or one of them and + or -, stand beside each other: set brackets", at)
		}
	}
}

func TestMixedSeesEachMixture(t *testing.T) {
	for text, want := range map[string]int{
		"a ^ b | c":             1,
		"a ^ b | c ^ d":         2,
		"a | b ^ c == 0":        1,
		"a | b + c":             1,
		"a - b ^ c":             1,
		"(a ^ b) | (c ^ d)":     0,
		"a | b | c":             0,
		"a ^ b ^ c":             0,
		"a + b - c":             0,
		"a & b | c<<1 ^ 1":      1,
		"a<<8 | b":              0,
		"a | f(b ^ c)":          0,
		"x[a^b] | x[(a^b)|(c)]": 0,
	} {
		source := "package p\nvar v = " + text
		if got := mixed(t, "p.go", source); len(got) != want {
			t.Errorf("%s: %d mixtures are seen, want %d: %v", text, len(got), want, got)
		}
	}
}

// mixed returns where operators that bind equally are mixed with | or ^.
func mixed(t *testing.T, name string, source any) (places []string) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		outer, ok := n.(*ast.BinaryExpr)
		if !ok || outer.Op.Precedence() != token.OR.Precedence() {
			return true
		}
		for _, side := range []ast.Expr{outer.X, outer.Y} {
			inner, ok := side.(*ast.BinaryExpr)
			if ok && inner.Op.Precedence() == outer.Op.Precedence() && inner.Op != outer.Op && !sums(inner.Op, outer.Op) {
				places = append(places, files.Position(outer.OpPos).String())
			}
		}
		return true
	})
	return places
}

// sums reports whether both operators are + or -, which everybody reads rightly.
func sums(a, b token.Token) bool {
	isSum := func(t token.Token) bool { return t == token.ADD || t == token.SUB }
	return isSum(a) && isSum(b)
}
