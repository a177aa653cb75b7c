package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is what the go command tells about a package, test files left out.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// Each system has files of its own, so each is asked.
func TestImportsKeepToTheTable(t *testing.T) {
	touchSources(t)
	for _, system := range []string{"linux", "darwin", "windows"} {
		t.Run(system, func(t *testing.T) {
			packages := list(t, system)
			for _, p := range packages {
				for _, broken := range check(table, p) {
					t.Error(broken)
				}
			}
			for _, r := range table {
				if !slices.ContainsFunc(packages, func(p listed) bool { return covers(r.name, p.ImportPath) }) {
					t.Errorf("the table has a row for %s, which no package fits", r.name)
				}
			}
		})
	}
}

func TestTailscaleStaysOut(t *testing.T) {
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			// The parser of JSON with comments is a module of its own, which needs nothing of theirs.
			if strings.Contains(line, "tailscale") && !strings.Contains(line, "github.com/tailscale/hujson ") {
				t.Errorf("%s: %q: Tailscale's module belongs in test/interop only", name, strings.TrimSpace(line))
			}
		}
	}
}

// Peers and relays must not carry the engine of coordinators, which is larger than
// all of them; and programs that embed a relay no client of authorities.
func TestFewHaveWhatIsHeavyBeneath(t *testing.T) {
	packages := list(t, "linux")
	for module, may := range map[string][]string{
		"github.com/nats-io/":              {"internal/coordnats", "internal/coordserver", "internal/demo", "cmd/"},
		"github.com/caddyserver/certmagic": {"internal/acme", "internal/acme/", "cmd/"},
		"github.com/mholt/acmez/":          {"internal/acme", "internal/acme/", "cmd/"},
	} {
		seen := false
		for _, p := range packages {
			has := slices.ContainsFunc(p.Deps, func(path string) bool { return strings.HasPrefix(path, module) })
			seen = seen || has
			if has && !slices.ContainsFunc(may, func(name string) bool { return covers(name, p.ImportPath) }) {
				t.Errorf("%s has %s beneath it: it must not (go list -deps shows the way)", p.ImportPath, module)
			}
		}
		if !seen {
			t.Errorf("nobody has %s beneath: this test looks for the wrong thing", module)
		}
	}
}

// Shows that each kind of rule can be broken, and that the message says which one
// and by whom. The rules are the table's in kind, but do not change with it.
func TestCheckNamesTheBrokenRule(t *testing.T) {
	rules := []row{
		{name: "key", own: none, outside: []string{"golang.org/x/crypto"}},
		{name: "derp", own: []string{"key"}},
		{name: "relay", own: []string{"key", "derp"}, outside: []string{"golang.org/x/crypto"}, never: []string{"os"}, beneath: web},
		{name: "client", own: []string{"key", "derp"}, beneath: []string{module + "relay"}},
		{name: "internal/edge", own: []string{"relay"}, outside: none},
		{name: "cmd/", own: []string{"key", "internal/"}},
	}
	for _, test := range []struct {
		name string
		p    listed
		want []string
	}{
		{
			"within the rules",
			listed{ImportPath: "relay", Imports: []string{"sync", module + "derp", "golang.org/x/crypto/nacl/box"}},
			nil,
		},
		{
			"against the direction",
			listed{ImportPath: "derp", Imports: []string{module + "relay"}},
			[]string{"derp imports relay: of this module it may import key"},
		},
		{
			"a sibling",
			listed{ImportPath: "client", Imports: []string{module + "relay"}},
			[]string{"client imports relay: of this module it may import key, derp"},
		},
		{
			"a sibling, through another",
			listed{ImportPath: "client", Imports: []string{module + "derp"}, Deps: []string{module + "relay"}},
			[]string{"client has relay beneath it: it must not (go list -deps shows the way)"},
		},
		{
			"no own package allowed",
			listed{ImportPath: "key", Imports: []string{module + "internal/certs"}},
			[]string{"key imports internal/certs: of this module it may import nothing"},
		},
		{
			"a command",
			listed{ImportPath: "internal/edge", Imports: []string{module + "cmd/detour"}},
			[]string{"internal/edge imports cmd/detour: of this module it may import relay"},
		},
		{
			"another module",
			listed{ImportPath: "key", Imports: []string{"golang.org/x/crypto/nacl/box", "golang.org/x/cryptography"}},
			[]string{"key imports golang.org/x/cryptography: outside the standard library it may import golang.org/x/crypto"},
		},
		{
			"no other module allowed",
			listed{ImportPath: "internal/edge", Imports: []string{"net/http", "golang.org/x/sys/unix"}},
			[]string{"internal/edge imports golang.org/x/sys/unix: outside the standard library it may import nothing"},
		},
		{
			"the world",
			listed{ImportPath: "relay", Imports: []string{"os"}},
			[]string{"relay imports os: it must not"},
		},
		{
			"the world, through another",
			listed{ImportPath: "relay", Imports: []string{"golang.org/x/crypto/acme"}, Deps: []string{"net", "net/http"}},
			[]string{"relay has net/http beneath it: it must not (go list -deps shows the way)"},
		},
		{
			"a new room",
			listed{ImportPath: "internal/attic"},
			[]string{"internal/attic has no row in the table of internal/archtest: add one"},
		},
		{
			"a new room within a room",
			listed{ImportPath: "relay/attic"},
			[]string{"relay/attic has no row in the table of internal/archtest: add one"},
		},
		{
			"a new command",
			listed{ImportPath: "cmd/attic", Imports: []string{module + "internal/edge", "github.com/spf13/cobra"}},
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.p.ImportPath = module + test.p.ImportPath
			if got := check(rules, test.p); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// A row for many rooms would let each of them import what only one needs.
func TestEachRoomHasARowOfItsOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, r := range table {
		if strings.HasSuffix(r.name, "/") && r.name != "cmd/" {
			t.Errorf("the row for %s is for several rooms", r.name)
		}
		if r.name != "cmd/" && slices.ContainsFunc(r.own, func(own string) bool { return strings.HasSuffix(own, "/") }) {
			t.Errorf("%s may import whole directories: %s", r.name, all(r.own))
		}
		if seen[r.name] {
			t.Errorf("%s has two rows", r.name)
		}
		seen[r.name] = true
	}
}

// check returns one line for each rule that a package breaks.
func check(table []row, p listed) (broken []string) {
	name := strings.TrimPrefix(p.ImportPath, module)
	i := slices.IndexFunc(table, func(r row) bool { return covers(r.name, p.ImportPath) })
	if i < 0 {
		return []string{name + " has no row in the table of internal/archtest: add one"}
	}
	r := table[i]
	for _, path := range p.Imports {
		switch {
		case strings.HasPrefix(path, module):
			if !slices.ContainsFunc(r.own, func(own string) bool { return covers(own, path) }) {
				broken = append(broken, fmt.Sprintf("%s imports %s: of this module it may import %s",
					name, strings.TrimPrefix(path, module), all(r.own)))
			}
		case slices.Contains(r.never, path):
			broken = append(broken, fmt.Sprintf("%s imports %s: it must not", name, path))
		case r.outside != nil && isOutside(path):
			if !slices.ContainsFunc(r.outside, func(m string) bool { return strings.HasPrefix(path+"/", m+"/") }) {
				broken = append(broken, fmt.Sprintf("%s imports %s: outside the standard library it may import %s",
					name, path, all(r.outside)))
			}
		}
	}
	for _, path := range r.beneath {
		if slices.Contains(p.Deps, path) {
			broken = append(broken, fmt.Sprintf("%s has %s beneath it: it must not (go list -deps shows the way)",
				name, strings.TrimPrefix(path, module)))
		}
	}
	return broken
}

// covers tells whether a name of the table means the package.
func covers(name, importPath string) bool {
	if strings.HasSuffix(name, "/") {
		return strings.HasPrefix(importPath, module+name)
	}
	return importPath == module+name
}

// isOutside tells whether an import path belongs to neither this module nor the standard library, whose paths begin without
// a dot.
func isOutside(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

func all(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// touchSources looks at every Go file of this module. The go command takes a passed test's result from its cache until a file
// that the test has looked at changes, and does not see that go list looks at them.
func touchSources(t *testing.T) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case filepath.Ext(path) == ".go":
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// list asks the go command for the packages of this module as one system sees them. A package that does not compile is not
// this test's concern (-e).
func list(t *testing.T, system string) []listed {
	t.Helper()
	// With the profile of cmd/detour, go list would name each package twice.
	cmd := exec.Command("go", "list", "-e", "-pgo=off", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "GOOS="+system)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var packages []listed
	for decoder := json.NewDecoder(out); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	return packages
}
