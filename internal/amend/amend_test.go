package amend

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func set(pairs ...string) (edits []Edit) {
	for i := 0; i < len(pairs); i += 2 {
		edits = append(edits, Edit{Path: pairs[i], Text: pairs[i+1]})
	}
	return edits
}

func TestFile(t *testing.T) {
	for _, c := range []struct {
		what, before string
		edits        []Edit
		after        string
	}{
		{"nothing", "hostname: a.example # ours\n", nil, "hostname: a.example # ours\n"},
		{"a new file", "", set("hostname", "a.example", "tls.mode", "self"), "hostname: a.example\n\ntls:\n  mode: self\n"},
		{"comments only", "# ours\n", set("hostname", "a.example"), "# ours\n\nhostname: a.example\n"},
		{"a value", "# x\nhostname: a.example   # ours\nlisten: \":1\"\n", set("hostname", "b.example"), "# x\nhostname: b.example   # ours\nlisten: \":1\"\n"},
		{"a value with # in it", "hostname: \"a#b\" # the #1\n", set("hostname", "b.example"), "hostname: b.example # the #1\n"},
		{"a value in a section", "tls:\n    # how\n    mode: self # now\n", set("tls.mode", "acme"), "tls:\n    # how\n    mode: acme # now\n"},
		{"into a section", "tls:\n    mode: files\n    # the pair\n    cert: a\n\n# more\nlisten: \":1\"\n", set("tls.key", "b"),
			"tls:\n    mode: files\n    # the pair\n    cert: a\n    key: b\n\n# more\nlisten: \":1\"\n"},
		{"into an empty section", "tls:\n#  mode: self\nlisten: \":1\"\n", set("tls.mode", "acme"), "tls:\n  mode: acme\n#  mode: self\nlisten: \":1\"\n"},
		{"two into one", "access:\n  managed: true\n", set("access.verify", "https://h/verify", "access.grace", "1h"),
			"access:\n  managed: true\n  verify:\n    - https://h/verify\n  grace: 1h\n"},
		{"a longer list", "mesh:\n  with:\n    - a.example   # one\n    # two is coming\n    - b.example\n  key-file: k\n", set("mesh.with", "a.example,b.example,c.example"),
			"mesh:\n  with:\n    - a.example   # one\n    # two is coming\n    - b.example\n    - c.example\n  key-file: k\n"},
		{"another list", "mesh:\n  with:\n  - a.example\n  - b.example\n  key-file: k\n", set("mesh.with", "c.example"), "mesh:\n  with:\n    - c.example\n  key-file: k\n"},
		{"a list in one line", "public-ip: [192.0.2.1] # two\nlisten: \":1\"\n", set("public-ip", "192.0.2.1,192.0.2.2"), "public-ip:\n  - \"192.0.2.1\"\n  - \"192.0.2.2\"\nlisten: \":1\"\n"},
		{"out", "tls:\n  mode: files\n  cert: a # c\n  key: b\nlisten: \":1\"\n", []Edit{{Path: "tls.mode", Text: "acme"}, {Path: "tls.cert", Remove: true}, {Path: "tls.key", Remove: true}},
			"tls:\n  mode: acme\nlisten: \":1\"\n"},
		{"out with its section", "acme:\n  contact: a@b.example\nlisten: \":1\"\n", []Edit{{Path: "acme.contact", Remove: true}}, "listen: \":1\"\n"},
		{"out of nowhere", "listen: \":1\"\n", []Edit{{Path: "acme.contact", Remove: true}, {Path: "http", Remove: true}}, "listen: \":1\"\n"},
		{"a map", "limits:\n  labels:\n    a: in=1Mbit/s\n", set("limits.labels", "a=in=1Mbit/s,out=2Mbit/s,b=in=3Mbit/s"), "limits:\n  labels:\n    a: in=1Mbit/s out=2Mbit/s\n    b: in=3Mbit/s\n"},
		{"with a remark", "listen: \":1\"\n", []Edit{{Path: "access.managed", Text: "true", Remark: "nobody yet"}}, "listen: \":1\"\n\naccess:\n  # nobody yet\n  managed: true\n"},
		{"no newline at the end", "listen: \":1\"", set("hostname", "a.example"), "listen: \":1\"\n\nhostname: a.example\n"},
		{"Windows", "listen: \":1\"\r\ntls:\r\n  mode: self\r\n", set("tls.mode", "acme"), "listen: \":1\"\r\ntls:\r\n  mode: acme\r\n"},
	} {
		after, err := File("f.yaml", []byte(c.before), c.edits)
		if err != nil || string(after) != c.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.what, err, after, c.after)
		}
	}
}

func TestFileByHand(t *testing.T) {
	for what, before := range map[string]string{
		"a document that ends":       "listen: \":1\"\n...\n",
		"all in one line":            "{listen: \":1\"}\n",
		"a section in one line":      "tls: {mode: self}\n",
		"a value that stands for it": "hostname: &a a.example\nhome: *a\nstate-dir: *a\n",
	} {
		_, err := File("f.yaml", []byte(before), []Edit{{Path: "hostname", Text: "b.example"}, {Path: "tls.cert", Text: "c"}, {Path: "acme.ca", Remove: true}})
		if !errors.Is(err, ErrByHand) || !strings.Contains(err.Error(), "f.yaml: ") || !strings.Contains(err.Error(), "hostname: b.example / tls: /   cert: c, and take out acme.ca") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := File("f.yaml", []byte("lisen: 1\n"), nil); err == nil || errors.Is(err, ErrByHand) || !strings.Contains(err.Error(), "f.yaml:1:1") {
		t.Error(err)
	}
}

// Whatever stands in the file: what comes back means what it meant, with the one setting
// as it was asked for, or there is an error.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"listen: \":1\"\n", "tls:\n  mode: self\n", "mesh:\n  with:\n  - a.example\n", "tls: {mode: self}", "a: |\n  b\nhostname: x", "---\nhostname: >\n  a\n  b\n...\n",
		"# x\r\nhostname: 'a'  # b\r\n", "access:\n\n  # c\n  keys: [a,\n b]\n", "hostname: \"a\n b\"\nlisten: x", "? hostname\n: b\n",
	} {
		f.Add([]byte(seed), "hostname", "b.example")
		f.Add([]byte(seed), "tls.mode", "acme")
		f.Add([]byte(seed), "mesh.with", "a.example,b.example")
		f.Add([]byte(seed), "limits.labels", "a=in=1Mbit/s,out=2Mbit/s,b=in=3Mbit/s")
	}
	f.Fuzz(func(t *testing.T, before []byte, path, to string) {
		if _, known := config.Lookup(path); !known {
			return
		}
		after, err := File("f", before, []Edit{{Path: path, Text: to}})
		if err != nil {
			return
		}
		want := config.Load(config.Sources{File: "f", Contents: before}).Config
		if err := config.Set(&want, path, to); err != nil {
			t.Fatal(err)
		}
		got := config.Load(config.Sources{File: "f", Contents: after})
		if got.Err() != nil || !reflect.DeepEqual(texts(got.Config), texts(want)) {
			t.Errorf("%q became %q: %v", before, after, got.Err())
		}
		if again, err := File("f", after, nil); err == nil && !bytes.Equal(again, after) {
			t.Errorf("nothing to do changes %q to %q", after, again)
		}
	})
}
