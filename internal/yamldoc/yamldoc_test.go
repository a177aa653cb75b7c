package yamldoc

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadNamesThePlace(t *testing.T) {
	for source, want := range map[string]string{
		"":                                       "1:1 empty",
		"# nothing\n":                            "1:1 empty",
		"a: 1\n---\nb: 2\n":                      "2:1 second-document",
		"a:\n\tb: 1\n":                           "2:1 tab",
		"a: 1\nb: [1, 2\nc: 3\n":                 "2:1 syntax",
		"a: x: y\n":                              "1:1 syntax",
		"a: @x\n":                                "1:1 syntax",
		"a: “x”: b\n":                            "1:6 stray-character",
		"a: [" + strings.Repeat("1,", 200) + "]": "1:1 large",
	} {
		_, err := Read([]byte(source), 100)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.What == "" || e.Remedy == "" {
			t.Errorf("%q: %v", source, err)
			continue
		}
		if got := fmt.Sprintf("%d:%d %s", e.Line, e.Column, e.Code); got != want {
			t.Errorf("%q: %v, which is %s, want %s", source, err, got, want)
		}
	}
	root, err := Read([]byte("a: 1\n"), 100)
	if err != nil || len(root.Content) != 2 || root.Content[1].Value != "1" {
		t.Errorf("%+v, %v", root, err)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a: 1\n", "a: &x [1]\nb: *x\n", "---\n---\n", "a:\n\tb", "? a", "<<: 1", "\x00", "%YAML 9", "a: !!binary x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		root, err := Read(source, 1000)
		if err == nil {
			if root == nil {
				t.Error("neither a root nor an error")
			}
			return
		}
		if e, ok := errors.AsType[*Error](err); !ok || e.Line < 1 || e.Column < 1 || e.Code == "" || e.Remedy == "" {
			t.Errorf("%v has no place or remedy", err)
		}
	})
}
