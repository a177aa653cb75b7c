package derpmap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// formOfName is as the command line goes by names.
func formOfName(name string) Form {
	return map[string]Form{".json": JSON, ".hujson": HuJSON, ".yaml": YAML}[filepath.Ext(name)]
}

// Each directory has inputs of one kind, as people have them, and beside it what lint
// says to each.
func TestKindsOfTrouble(t *testing.T) {
	kinds, err := filepath.Glob("testdata/kinds/*")
	if err != nil || len(kinds) == 0 {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		if filepath.Ext(kind) == ".want" {
			continue
		}
		t.Run(filepath.Base(kind), func(t *testing.T) {
			files, err := os.ReadDir(kind)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, file := range files {
				lintInto(t, &got, kind, file.Name())
			}
			golden(t, kind+".want", got.String())
		})
	}
}

func lintInto(t *testing.T, out *strings.Builder, dir, name string) {
	source := readFile(t, filepath.Join(dir, name))
	form := formOfName(name)
	found := Lint(source, LintConfig{Form: form, Local: true})
	if len(found) == 0 {
		fmt.Fprintf(out, "%s: fine\n", name)
	}
	broken := false
	for _, f := range found {
		broken = broken || f.Severity == Error
		fmt.Fprintf(out, "%s:%v\n", name, f)
		if f.Severity == Error && f.Remedy == "" || f.Line < 1 || f.Column < 1 {
			t.Errorf("%s: not all there: %+v", name, f)
		}
	}
	if _, err := Load(source, form); err != nil && !broken {
		t.Errorf("%s: lint finds no error, but %v", name, err)
	}
}
