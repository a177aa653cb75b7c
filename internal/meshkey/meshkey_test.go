package meshkey

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const one, two = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestLoadReadsWhatEditorsWrite(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		keys int
		err  string
	}{
		"one":          {one, 1, ""},
		"comments":     {"# ours\n\n  " + one + "  \n" + two + "\n", 2, ""},
		"DOS":          {one + "\r\n" + two + "\r\n", 2, ""},
		"old Mac":      {one + "\r" + two, 2, ""},
		"UTF-8 mark":   {"\xef\xbb\xbf" + one, 1, ""},
		"UTF-16":       {"\xff\xfe" + wide(one), 1, ""},
		"none":         {"# nothing\n", 0, "no key in it"},
		"empty":        {"", 0, "no key in it"},
		"too short":    {one + "\n1234", 0, "line 2: mesh key: "},
		"zeros":        {strings.Repeat("0", 64), 0, "line 1: all zeros"},
		"too many":     {strings.Repeat(one+"\n", 5), 0, "line 5: more than 4"},
		"no text":      {one[:8] + "\x00" + one[8:], 0, "line 1"},
		"another kind": {"privkey:" + one, 0, "line 1: "},
	} {
		file := filepath.Join(t.TempDir(), "mesh.key")
		if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, _, err := Load(file)
		switch {
		case test.err == "" && (err != nil || len(keys) != test.keys):
			t.Errorf("%s: %d keys, %v", name, len(keys), err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: %v, want %s", name, err, test.err)
		case err != nil && (strings.Contains(err.Error(), "0123") || strings.Contains(err.Error(), "1234")):
			t.Errorf("%s: the error repeats the key: %v", name, err)
		}
	}
}

func wide(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		b.Write([]byte{c, 0})
	}
	return b.String()
}

func TestLoadFromTheEnvironment(t *testing.T) {
	t.Setenv(Variables[0], "")
	t.Setenv(Variables[1], "")
	if keys, from, err := Load(""); keys != nil || from != "" || err != nil {
		t.Errorf("nothing is set: %v, %q, %v", keys, from, err)
	}
	t.Setenv(Variables[1], one)
	if keys, from, err := Load(""); len(keys) != 1 || from != "$"+Variables[1] || err != nil {
		t.Errorf("the second: %v, %q, %v", keys, from, err)
	}
	t.Setenv(Variables[0], "x")
	if _, _, err := Load(""); err == nil || !strings.HasPrefix(err.Error(), "$"+Variables[0]+": line 1: ") {
		t.Errorf("the first: %v", err)
	}
}

func TestCreate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mesh.key")
	k := New()
	if err := Create(file, k); err != nil {
		t.Fatal(err)
	}
	keys, from, err := Load(file)
	if err != nil || len(keys) != 1 || !keys[0].Equal(k) || from != file || k.Equal(New()) {
		t.Errorf("%v, %q, %v", keys, from, err)
	}
	if OpenToOthers(file) {
		t.Error("others can read it")
	}
	if err := Create(file, k); err == nil {
		t.Error("it was written over")
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if !OpenToOthers(file) && runtime.GOOS != "windows" {
		t.Error("that others can read it is not seen")
	}
}
