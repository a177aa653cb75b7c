package pages

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func all(t *testing.T) map[string]*Page {
	t.Helper()
	names, err := Names(root)
	if err != nil {
		t.Fatal(err)
	}
	pages := make(map[string]*Page)
	for _, name := range names {
		if pages[name], err = Read(root, name); err != nil {
			t.Fatal(err)
		}
	}
	if len(pages) < 40 {
		t.Fatalf("there are %d pages only", len(pages))
	}
	return pages
}

// A link leads to a file that is there, and to a heading that the page has.
func TestNoLinkIsDead(t *testing.T) {
	pages := all(t)
	for name, page := range pages {
		for _, l := range page.Links {
			if strings.Contains(l.To, "://") {
				continue
			}
			file, anchor, _ := strings.Cut(l.To, "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s:%d: %s is not there", name, l.Line, l.To)
			}
			if p := pages[target]; anchor != "" && (p == nil || !slices.Contains(p.Anchors(), anchor)) {
				t.Errorf("%s:%d: there is no heading for %s", name, l.Line, l.To)
			}
		}
	}
}

// docs/README.md is where a reader begins, and the navigation of the site: each page
// stands there once. Decisions have a list of their own.
func TestEachPageStandsInTheIndex(t *testing.T) {
	pages := all(t)
	const index = "docs/README.md"
	if pages[index] == nil {
		t.Fatalf("%s is not there", index)
	}
	count := make(map[string]int)
	for _, l := range pages[index].Links {
		count[path.Join("docs", l.To)]++
	}
	for name := range pages {
		if want := 1; name != index && path.Dir(name) != "docs/decisions" && count[name] != want {
			t.Errorf("%s stands %d times in %s, want once", name, count[name], index)
		}
	}
	if count["docs/decisions"] != 1 {
		t.Errorf("the decisions are not in %s", index)
	}
}

// A block without a language is one that nobody has thought about: what is run, loaded
// or only shown follows from it.
func TestEachBlockSaysWhatItIs(t *testing.T) {
	known := []string{"sh", "console", "yaml", "go", "json", "text", "ini", "cron"}
	for name, page := range all(t) {
		for _, b := range page.Blocks {
			if !slices.Contains(known, b.Lang) {
				t.Errorf("%s:%d: a block of %q: want one of %s", name, b.Line, b.Lang, strings.Join(known, ", "))
			}
		}
	}
}

// A page has one title, and no level is left out on the way to a heading.
func TestHeadingsAreNested(t *testing.T) {
	for name, page := range all(t) {
		level := 0
		for i, h := range page.Headings {
			if (i == 0) != (h.Level == 1) || h.Level > level+1 {
				t.Errorf("%s:%d: %q has level %d behind level %d", name, h.Line, h.Text, h.Level, level)
			}
			level = h.Level
		}
	}
}

func TestParse(t *testing.T) {
	page := Parse("x.md", "# A `b` of C\n\n[d](e.md#f), `[no](link)`\n\n## Two\n\n1. so:\n\n   ```sh\n   one\n     two\n   ```\n```text\n# no heading\n```\n## Two\n")
	if got := page.Anchors(); !slices.Equal(got, []string{"a-b-of-c", "two", "two-1"}) {
		t.Errorf("anchors %q", got)
	}
	if want := []Block{{"two-1", "sh", "one\n  two\n", 10}, {"two-2", "text", "# no heading\n", 14}}; !slices.Equal(page.Blocks, want) {
		t.Errorf("blocks %v", page.Blocks)
	}
	if want := []Code{{"b", 1}, {"[no](link)", 3}}; !slices.Equal(page.Codes, want) {
		t.Errorf("codes %v", page.Codes)
	}
	if want := []Link{{"d", "e.md#f", 3}}; !slices.Equal(page.Links, want) {
		t.Errorf("links %v", page.Links)
	}
}

func TestCommands(t *testing.T) {
	b := Block{Text: "$ one \\\n  more\nsaid\n$ two\n$ three\nsaid \\\n too\n"}
	want := []Command{{"one \\\n  more\n", "said\n"}, {"two\n", ""}, {"three\n", "said \\\n too\n"}}
	if got := b.Commands(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
