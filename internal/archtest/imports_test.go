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

const module = "github.com/detour-relay/detour/"

// row says what a package, or a group of packages, may import.
type row struct {
	name    string   // below module; a trailing slash names all packages of a directory
	own     []string // packages of this module, named likewise
	outside []string // modules besides the standard library; nil: any that go.mod has
	never   []string // packages that it must not import itself
	beneath []string // packages that must not be beneath it, whoever imports them
}

// table has one row for each package; the first that fits counts.
var table = []row{
	{
		name: "key", own: []string{"internal/smallfile", "internal/text"}, outside: []string{"golang.org/x/crypto"},
		beneath: []string{"net/http", "crypto/tls"},
	},
	{
		name: "derp", own: []string{"key"}, outside: []string{"golang.org/x/crypto"},
		beneath: []string{"net/http", "crypto/tls"},
	},
	{
		name: "relay", own: []string{"key", "derp", "internal/rate"}, outside: []string{"golang.org/x/crypto"},
		never:   []string{"net/http", "crypto/tls", "os", "flag"},
		beneath: []string{"net/http", "crypto/tls"},
	},
	{
		name: "client", own: []string{"key", "derp", "derpmap", "internal/home", "internal/measure", "internal/pin", "internal/rate", "internal/retry"},
		outside: []string{"golang.org/x/crypto", "github.com/coder/websocket"},
	},
	{
		name: "derpmap", own: []string{"internal/hostname", "internal/pin", "internal/retry", "internal/text"}, // maps are data: who connects to what they name is not their business
		outside: []string{"github.com/tailscale/hujson", "go.yaml.in/yaml/v3"},
	},
	{name: "internal/netio", own: []string{}, outside: []string{}}, // so that clients can use it, too
	{
		name: "internal/edge", own: []string{"key", "derp", "relay", "internal/netio", "internal/rate", "internal/reach", "internal/retry"},
		outside: []string{"github.com/coder/websocket", "golang.org/x/sys"},
	},
	{name: "internal/smallfile", own: []string{}, outside: []string{}},
	{name: "internal/text", own: []string{}, outside: []string{}},
	{name: "internal/roster", own: []string{"key", "derp", "client"}},
	{name: "internal/pin", own: []string{"derp"}, outside: []string{}},
	{name: "internal/rate", own: []string{}, outside: []string{}},
	{name: "internal/retry", own: []string{}, outside: []string{}},
	{name: "internal/hostname", own: []string{"internal/text"}, outside: []string{"golang.org/x/net"}},
	{name: "internal/", own: []string{"key", "derp", "relay", "client", "derpmap", "internal/"}},
	{name: "cmd/detour/internal/cli", own: []string{"key", "derp", "client", "internal/"}},
	{name: "cmd/", own: []string{"key", "derp", "relay", "client", "derpmap", "internal/", "cmd/detour/internal/cli"}},
}

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
				for _, broken := range check(p) {
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

// Shows that each kind of rule can be broken, and that the message says which one and by whom.
func TestCheckNamesTheBrokenRule(t *testing.T) {
	for _, test := range []struct {
		name string
		p    listed
		want []string
	}{
		{
			"within the rules",
			listed{ImportPath: module + "relay", Imports: []string{"sync", module + "derp", "golang.org/x/crypto/nacl/box"}},
			nil,
		},
		{
			"against the direction",
			listed{ImportPath: module + "derp", Imports: []string{module + "relay"}},
			[]string{"derp imports relay: of this module it may import key"},
		},
		{
			"a sibling",
			listed{ImportPath: module + "client", Imports: []string{module + "relay"}},
			[]string{"client imports relay: of this module it may import key, derp, derpmap, internal/home, internal/measure, internal/pin, internal/rate, internal/retry"},
		},
		{
			"no own package allowed",
			listed{ImportPath: module + "key", Imports: []string{module + "internal/certs"}},
			[]string{"key imports internal/certs: of this module it may import internal/smallfile, internal/text"},
		},
		{
			"a command",
			listed{ImportPath: module + "internal/edge", Imports: []string{module + "cmd/detour"}},
			[]string{"internal/edge imports cmd/detour: of this module it may import key, derp, relay, internal/netio, internal/rate, internal/reach, internal/retry"},
		},
		{
			"another module",
			listed{ImportPath: module + "key", Imports: []string{"golang.org/x/crypto/nacl/box", "golang.org/x/cryptography"}},
			[]string{"key imports golang.org/x/cryptography: outside the standard library it may import golang.org/x/crypto"},
		},
		{
			"the world",
			listed{ImportPath: module + "relay", Imports: []string{"os"}},
			[]string{"relay imports os: it must not"},
		},
		{
			"the world, through another",
			listed{ImportPath: module + "relay", Imports: []string{"golang.org/x/crypto/acme"}, Deps: []string{"net", "net/http"}},
			[]string{"relay has net/http beneath it: it must not (go list -deps shows the way)"},
		},
		{
			"a new room",
			listed{ImportPath: module + "attic"},
			[]string{"attic has no row in the table of internal/archtest: add one"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := check(test.p); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// check returns one line for each rule that a package breaks.
func check(p listed) (broken []string) {
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
			broken = append(broken, fmt.Sprintf("%s has %s beneath it: it must not (go list -deps shows the way)", name, path))
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
