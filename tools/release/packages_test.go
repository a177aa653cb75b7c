package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sample is a release whose programs are a few bytes.
func sample(t *testing.T) *release {
	t.Helper()
	s, err := readSource("../..", "v0.9.0", true)
	if err != nil {
		t.Fatal(err)
	}
	r := &release{source: s, out: t.TempDir(), tmp: t.TempDir()}
	if r.common, err = r.tracked("LICENSE", "CHANGELOG.md", "README.md", "dist"); err != nil {
		t.Fatal(err)
	}
	r.common = append(r.common, entry{"man/man1/detour.1", 0o644, []byte("page")}, entry{"completions/zsh/_detour", 0o644, []byte("words")}, entry{"completions/powershell/detour.ps1", 0o644, nil})
	return r
}

func TestWhatIsInPackages(t *testing.T) {
	r := sample(t)
	for kind, want := range map[string][]string{
		"deb": {"/usr/share/doc/detour/copyright", "/usr/share/doc/detour/changelog.Debian.gz", "/usr/share/zsh/vendor-completions/_detour"},
		"rpm": {"/usr/share/licenses/detour/LICENSE", "/usr/share/zsh/site-functions/_detour"},
	} {
		all, err := r.packaged(kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range append(want, "/usr/lib/sysusers.d/detour.conf", "/usr/share/doc/detour/examples/relay.yaml", "/usr/share/doc/detour/examples/proxies/nginx.conf") {
			if _, is := find(all, path); !is {
				t.Errorf("%s: %s is missing", kind, path)
			}
		}
		for _, e := range all {
			if strings.Contains(e.path, "powershell") || strings.Contains(e.path, "post") || !strings.HasPrefix(e.path, "/usr/") || filepath.Ext(e.path) == ".ps1" {
				t.Errorf("%s: %s is in it", kind, e.path)
			}
		}
		page, _ := find(all, "/usr/share/man/man1/detour.1.gz")
		z, err := gzip.NewReader(bytes.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(z); err != nil || string(text) != "page" {
			t.Errorf("%s: the manual has %q (%v)", kind, text, err)
		}
	}
}

// The units start the program of the package, and no older systemd stumbles over them.
func TestUnitsFit(t *testing.T) {
	all, err := sample(t).packaged("deb")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"detour":       "\nExecStart=/usr/bin/detour relay --config /etc/detour/relay.yaml\n",
		"detour-coord": "\nExecStart=/usr/bin/detour coord --tls self --hostname coord.example.com --map /etc/detour/derp.yaml\n",
		"detour-up":    "\nExecStart=/usr/bin/detour up --state /var/lib/detour/members/member-home.json\n",
	} {
		text, _ := find(all, "/usr/lib/systemd/system/"+name+".service")
		if !strings.Contains(string(text), want) || strings.Contains(string(text), "\nType=notify-reload") || strings.Contains(string(text), "\nRestartSteps=") {
			t.Errorf("%s\n%s", name, text)
		}
	}
}

// The same source makes the same packages, and rpm is told of every directory that is ours.
func TestPackagesAreTheSameAgain(t *testing.T) {
	var made [2][]string
	for i := range made {
		r := sample(t)
		if err := r.packages(platform{"linux", "arm64"}, []byte("program")); err != nil {
			t.Fatal(err)
		}
		made[i] = r.made
		if files, err := os.ReadDir(r.out); err != nil || len(files) != 2 || files[1].Name() != "detour_0.9.0+dirty-1_arm64.deb" && files[1].Name() != "detour_0.9.0-1_arm64.deb" {
			t.Errorf("%v (%v)", files, err)
		}
	}
	if !slices.Equal(made[0], made[1]) {
		t.Errorf("%q\n%q", made[0], made[1])
	}
	got := directories([]entry{{path: docs + "examples/relay.yaml"}, {path: "/usr/bin/detour"}, {path: "/usr/share/man/man1/detour.1.gz"}})
	if want := []string{"/etc/detour", "/usr/share/doc/detour", "/usr/share/doc/detour/examples"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func sampleTime(t *testing.T) time.Time {
	t.Helper()
	s, err := readSource("../..", "v0.9.0", true)
	if err != nil {
		t.Fatal(err)
	}
	return s.time
}
