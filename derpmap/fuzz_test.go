package derpmap

import (
	"errors"
	"reflect"
	"testing"
)

// Load never panics and, whatever it has loaded, each form gives the same again.
// Lint sees what keeps Load from it.
func FuzzLoad(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		for _, name := range examples(f, dir) {
			f.Add(readFile(f, name))
		}
	}
	for _, source := range vectors(f) {
		f.Add([]byte(source))
	}
	f.Add([]byte(unknown))
	f.Add([]byte(bomb(3)))
	f.Add([]byte("{\"\x80\": \"\\ud800\", \"\u0085\": \"\ufeff\", \"? x\": \"| y\"}"))
	f.Fuzz(func(t *testing.T, source []byte) {
		if len(source) > 1<<14 { // long texts are slow to write, and no more interesting
			return
		}
		for _, form := range []Form{"", JSON, HuJSON, YAML} {
			m, err := Load(source, form)
			broken := false
			for _, found := range Lint(source, LintConfig{Form: form}) {
				if found.Line < 1 || found.Column < 1 || found.Code == "" || found.Message == "" {
					t.Errorf("not all there: %+v", found)
				}
				broken = broken || found.Severity == Error
			}
			if err != nil {
				if !errors.As(err, new(Finding)) || !broken {
					t.Errorf("%v, but Lint has no error", err)
				}
				continue
			}
			sameAgain(t, m)
		}
	})
}

func sameAgain(t *testing.T, m *Map) {
	for _, form := range forms {
		text, err := m.Encode(form)
		if err != nil {
			if form == HuJSON && tooNested(t, m) {
				continue
			}
			t.Fatalf("%s: %v", form, err)
		}
		if len(text) > MaxSize {
			continue
		}
		again, err := Load(text, form)
		if err != nil {
			t.Fatalf("%s: %v\n%s", form, err, text)
		}
		if !reflect.DeepEqual(again, m) {
			t.Fatalf("%s: got %+v\nwant %+v\n%s", form, again, m, text)
		}
		if changes, err := Diff(m, again); len(changes) != 0 || err != nil {
			t.Fatalf("%s: %v, %v", form, changes, err)
		}
	}
	if merged := Merge(m, m); !reflect.DeepEqual(merged.IDs(), m.IDs()) {
		t.Fatalf("merged with itself it has the regions %v, not %v", merged.IDs(), m.IDs())
	}
	m.ForTailnet("example.com")
}

// tooNested tells whether a map is so deep that there is no room for the object
// around it that HuJSON needs.
func tooNested(t *testing.T, m *Map) bool {
	root, err := m.tree()
	if err != nil {
		t.Fatal(err)
	}
	return root.depth() == maxDepth
}
