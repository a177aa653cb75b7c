package main

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// parsed is a page of the site as a browser sees it.
type parsed struct {
	ids   map[string]bool
	links []string // href and src
	text  strings.Builder
}

func parse(t *testing.T, data []byte) *parsed {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	p := &parsed{ids: make(map[string]bool)}
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "code" {
			p.text.WriteString(n.Data)
		}
		for _, a := range n.Attr {
			switch a.Key {
			case "id":
				if p.ids[a.Val] {
					t.Errorf("the id %q is there twice", a.Val)
				}
				p.ids[a.Val] = true
			case "href", "src":
				p.links = append(p.links, a.Val)
			}
		}
	}
	return p
}

func makeSite(t *testing.T) (files map[string][]byte, all map[string]*parsed) {
	t.Helper()
	files, err := Make("../..")
	if err != nil {
		t.Fatal(err)
	}
	all = make(map[string]*parsed)
	for name, data := range files {
		if path.Ext(name) == ".html" {
			all[name] = parse(t, data)
		}
	}
	return files, all
}

// Each link of each page leads to a file of the site and, if it says so, to a place in it,
// or to a file of the repository, or is a whole URL.
func TestNoLinkOfTheSiteIsDead(t *testing.T) {
	files, all := makeSite(t)
	for name, page := range all {
		for _, link := range page.links {
			if inside, ok := strings.CutPrefix(link, repository+"/"); ok {
				if parts := strings.SplitN(inside, "/", 3); len(parts) == 3 {
					way, _, _ := strings.Cut(parts[2], "#")
					stat, err := os.Stat(filepath.Join("../..", way))
					if err != nil || stat.IsDir() != (parts[0] == "tree") {
						t.Errorf("%s: %s is not there like that", name, link)
					}
				}
				continue
			}
			if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") || strings.HasPrefix(link, "data:") {
				continue
			}
			way, anchor, _ := strings.Cut(link, "#")
			target := path.Join(path.Dir(name), way)
			if way == "" {
				target = name
			}
			if _, ok := files[target]; !ok {
				t.Errorf("%s: %s is no file of the site", name, link)
			} else if anchor != "" && !all[target].ids[anchor] {
				t.Errorf("%s: %s has no such place", name, link)
			}
		}
	}
}

// Who reads on comes to each page: all that are in the navigation are turned through, and
// each other one is a decision, which their list has.
func TestThePagesAreTurnedThrough(t *testing.T) {
	files, all := makeSite(t)
	seen := make(map[string]bool)
	for name := "index.html"; name != ""; {
		seen[name] = true
		_, after, found := strings.Cut(string(files[name]), `<a rel="next" href="`)
		next, _, _ := strings.Cut(after, `"`)
		if name = ""; found {
			name = path.Clean(path.Join(".", strings.TrimPrefix(next, "../")))
		}
	}
	for _, link := range all["decisions/index.html"].links {
		seen[path.Join("decisions", link)] = true
	}
	for name := range all {
		if !seen[name] {
			t.Errorf("nobody comes to %s", name)
		}
	}
	if len(seen) < 50 {
		t.Errorf("there are %d pages only", len(seen))
	}
}

// What the renderer does not know shows as signs on the page.
func TestNoMarkdownIsLeft(t *testing.T) {
	_, all := makeSite(t)
	for name, page := range all {
		for _, sign := range []string{"```", "](", "**", "| |", "raw HTML omitted"} {
			if at := strings.Index(page.text.String(), sign); at >= 0 {
				t.Errorf("%s has %q: %.80s", name, sign, page.text.String()[at:])
			}
		}
	}
}

// The pages take nothing from elsewhere and run nothing.
func TestNothingIsLoaded(t *testing.T) {
	files, _ := makeSite(t)
	for name, data := range files {
		for _, sign := range []string{"<script", "@import", "url(http", `src="http`, `rel="stylesheet" href="http`} {
			if bytes.Contains(data, []byte(sign)) {
				t.Errorf("%s has %q", name, sign)
			}
		}
	}
}

func TestSomebodyElsesDirectoryIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	if err := os.WriteFile(theirs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if write(dir, map[string][]byte{"index.html": nil}) == nil {
		t.Error("it was written into")
	}
	if _, err := os.Stat(theirs); err != nil {
		t.Error(err)
	}
	site := filepath.Join(dir, "site")
	for range 2 {
		if err := write(site, map[string][]byte{"index.html": nil, "a/b.html": nil}); err != nil {
			t.Fatal(err)
		}
	}
}
