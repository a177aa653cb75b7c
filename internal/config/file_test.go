package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
)

// loadFile reads a file, and asks as a relay would whether it has what is needed.
func loadFile(name string, contents []byte) *Loaded {
	l := Load(Sources{File: name, Contents: contents})
	if l.Err() == nil {
		for _, e := range l.Config.Problems() {
			l.add(e)
		}
	}
	return l
}

func contentsOf(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v", pattern, err)
	}
	all := make(map[string][]byte)
	for _, name := range names {
		if all[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestGoodFiles(t *testing.T) {
	for name, contents := range contentsOf(t, "good/*.yaml") {
		if l := Load(Sources{File: name, Contents: contents}); l.Err() != nil {
			t.Errorf("%v", l.Problems)
		}
	}
	l := Load(Sources{File: "f", Contents: contentsOf(t, "good/everything.yaml")["testdata/good/everything.yaml"]})
	want := Defaults()
	want.Listen, want.Hostname, want.STUN, want.TLS = "[::]:443", "derp1.example.com", "off", TLS{Cert: "/etc/detour/relay.crt", Key: "credential:relay.key"}
	want.Access = Access{Keys: []string{"/etc/detour/keys", "/etc/detour/guests"}, Verify: []string{"https://headscale.example.com/verify"},
		VerifyTimeout: 3e9, DenyApps: []string{"examplevpn", "othervpn"}, Grace: 12 * 3600e9}
	want.Limits = Limits{In: 2_500_000, Out: 2_500_000, Total: 125_000_000, Labels: map[string]Limit{
		"guests": {In: 625_000, Out: 625_000}, "servers": {In: 12_500_000, Burst: 8_000_000}}}
	want.Quota = Quota{Soft: 8e12, Hard: 10e12, Count: CountBoth, Day: 1, Then: "10Mbit/s", Webhook: "/etc/detour/webhook"}
	want.Accept, want.MaxConns, want.Drain, want.Log = Accept{200.5, 400}, 50_000, 20e9, Log{"json", "debug"}
	want.Mesh = Mesh{KeyFile: "/etc/detour/mesh.key", Rebalance: map[string]string{"900b": "derp2.example.com"},
		With: []string{"derp2.example.com", "derp3.example.com:8443=sha256-raw:0000000000000000000000000000000000000000000000000000000000000001"}}
	if !reflect.DeepEqual(l.Config, want) {
		t.Errorf("got  %+v\nwant %+v", l.Config, want)
	}
	for path, want := range map[string]string{"listen": "f:1:9", "tls.cert": "f:5:9", "access.keys": "f:9:5", "limits.labels": "f:20:5", "log.level": "f:41:14", "dev": "default"} {
		if got := l.Origin(path).String(); got != want {
			t.Errorf("%s is from %s, want %s", path, got, want)
		}
	}
}

// Each bad file has beside it what is said of it, a problem a line.
func TestBadFiles(t *testing.T) {
	for name, contents := range contentsOf(t, "bad/*.yaml") {
		var said strings.Builder
		for _, p := range loadFile(filepath.Base(name), contents).Problems {
			said.WriteString(p.Error() + "\n")
		}
		want, err := os.ReadFile(strings.TrimSuffix(name, ".yaml") + ".want")
		if err != nil || said.String() != string(want) {
			t.Errorf("%s: %v\ngot\n%swant\n%s", name, err, said.String(), want)
		}
		if len(want) == 0 || strings.Contains(string(want), "hunter2") {
			t.Errorf("%s: nothing is wrong, or a password is repeated", name)
		}
	}
}

// Aliases multiply what stands in a file.
func TestAliasesDoNotExplode(t *testing.T) {
	for _, source := range []string{
		"limits:\n  labels:\n    a: &a {in: 1}\n" + strings.Repeat("access: &b [*a, *a]\n", 1),
		"access:\n  keys: &a [" + strings.Repeat("x,", 4990) + "x]\n  verify: *a\n  tailscaled: *a\nmesh:\n  with: *a\n",
	} {
		l := Load(Sources{File: "f", Contents: []byte(source)})
		if l.Err() == nil || len(l.Problems) > 2*mostProblems {
			t.Errorf("%d problems: %v", len(l.Problems), l.Err())
		}
	}
}

// What a file has may be long, or written for the terminal of whoever reads the error.
func TestProblemsCanBeShown(t *testing.T) {
	for _, source := range []string{
		"hostname: [" + strings.Repeat("x", 500_000) + "]\n" + strings.Repeat("y", 100_000) + ": 1\ndrain: " + strings.Repeat("z", 9000) + "\n",
		`log: {"\u001b[31m": 1, "\u001b[31m": 2}` + "\n",
	} {
		l := Load(Sources{File: "f", Contents: []byte(source)})
		if l.Err() == nil {
			t.Errorf("%.40q: nothing is wrong", source)
		}
		for _, p := range l.Problems {
			if len(p.Text) > mostSaid+10 || strings.ContainsFunc(p.Text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%.100q has %d bytes", p.Text, len(p.Text))
			}
		}
	}
}

// A file is accepted or refused at a place in it, and what is accepted can be written
// down again, in each form that there is.
func FuzzLoadFile(f *testing.F) {
	for _, pattern := range []string{"good/*.yaml", "bad/*.yaml"} {
		for _, contents := range contentsOf(f, pattern) {
			f.Add(contents)
		}
	}
	f.Fuzz(func(t *testing.T, contents []byte) {
		l := Load(Sources{File: "f", Contents: contents})
		for _, p := range l.Problems {
			if p.Origin.File != "f" || p.Origin.Line < 1 || p.Origin.Column < 1 || p.Text == "" {
				t.Errorf("%+v has no place", p)
			}
			if len(p.Text) > mostSaid+10 || strings.ContainsFunc(p.Text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%q is not for a terminal", p.Text)
			}
		}
		if l.Err() != nil {
			return
		}
		again := Defaults()
		for _, s := range Table() {
			if err := Set(&again, s.Path, s.Text(l.Config)); err != nil {
				t.Errorf("%s: %v", s.Path, err)
			}
		}
		if changed := Diff(l.Config, again); len(changed.Changed)+len(changed.Restart) > 0 {
			t.Errorf("%v differ after writing them down:\n%+v\n%+v", changed, l.Config, again)
		}
		text, err := l.Config.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}
