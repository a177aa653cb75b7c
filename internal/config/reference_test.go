package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// As it stands the reference is a relay of its own, whose other settings are the
// defaults.
func TestReferenceIsAWholeFile(t *testing.T) {
	l := loadFile("reference", []byte(Reference("/etc/detour/relay.yaml")))
	if len(l.Problems) > 0 {
		t.Fatalf("%v", l.Problems)
	}
	want := Defaults()
	for path, text := range chosen {
		if err := Set(&want, path, text); err != nil {
			t.Error(err)
		}
	}
	want.Listen = DefaultListen
	if changed := Diff(want, l.Config); len(changed.Changed)+len(changed.Restart) > 0 {
		t.Errorf("it gives other values than the defaults: %+v", changed)
	}
	if strings.ContainsAny(Reference("x"), "\t{}`") {
		t.Error("it has signs that are for other readers")
	}
}

// What is commented out means something, too: each setting is there once, and can be
// given by taking the # away.
func TestReferenceHasEachSetting(t *testing.T) {
	source := Reference("/etc/detour/relay.yaml")
	whole := regexp.MustCompile(`(?m)^( *)#([^ \n].*|  .*)$`).ReplaceAllString(source, "$1$2")
	l := Load(Sources{File: "reference", Contents: []byte(whole)})
	if l.Err() != nil {
		t.Fatalf("%v in\n%s", l.Problems, whole)
	}
	for _, s := range Table() {
		if l.Origin(s.Path).Line == 0 {
			t.Errorf("%s is missing", s.Path)
		}
		if names := "# --" + s.Flag + ", $" + s.Variable() + "\n"; !strings.Contains(source, names) {
			t.Errorf("%s: no line %q", s.Path, names)
		}
		if s.Example != "" && chosen[s.Path] == "" && l.Origin(s.Path).Line > 0 && s.Text(l.Config) != s.Text(Defaults()) {
			var want Config
			if err := Set(&want, s.Path, s.Example); err != nil || s.Otherwise == "" && s.Text(want) != s.Text(l.Config) {
				t.Errorf("%s: the example is %q there: %v", s.Path, s.Text(l.Config), err)
			}
		}
	}
}

var update = flag.Bool("update", false, "write the table of settings into docs/configuration.md")

const (
	tableBegins = "<!-- settings: made from the table -->\n"
	tableEnds   = "<!-- end of settings -->\n"
)

// The page in docs has the table as it is.
func TestPageHasTheTable(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "configuration.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), tableBegins)
	got, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("%s has no place for the table", page)
	}
	want := strings.TrimPrefix(Page(), "\n")
	if *update {
		err = os.WriteFile(page, []byte(before+tableBegins+want+tableEnds+after), 0o644)
	} else if got != want {
		err = errors.New("it has another table: go test ./internal/config -update")
	}
	if err != nil {
		t.Errorf("%s: %v", page, err)
	}
}
