package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/detour-relay/detour/internal/pages"
)

const (
	index      = "docs/README.md"
	decisions  = "docs/decisions"
	repository = "https://github.com/detour-relay/detour"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var style []byte

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// view is what the template shows of a page.
type view struct {
	Title   string
	Home    bool // the first page
	Up      string
	Nav     []group
	Body    template.HTML
	Outline []pages.Heading
	Source  string // where it can be read and changed
	Before  *entry
	After   *entry
}

// group is a part of the navigation, entry one page in it.
type group struct {
	Title   string
	Entries []entry
}

type entry struct {
	Text string
	File string // that it leads to, from the site's root
	Here bool
}

// site is what its pages have in common.
type site struct {
	root  string
	pages map[string]*pages.Page
	nav   []group
	files map[string][]byte
}

// Make returns the files of the site, by name.
func Make(root string) (map[string][]byte, error) {
	s := &site{root: root, pages: make(map[string]*pages.Page), files: make(map[string][]byte)}
	names, err := pages.Names(root)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if s.pages[name], err = pages.Read(root, name); err != nil {
			return nil, err
		}
	}
	if s.pages[index] == nil {
		return nil, fmt.Errorf("%s is not there", index)
	}
	s.nav = navigation(s.pages[index])
	for _, name := range names {
		if err := s.page(name); err != nil {
			return nil, fmt.Errorf("%s: %v", name, err)
		}
	}
	colours, err := colours()
	s.files["style.css"] = append(slices.Clip(style), colours...)
	if err != nil {
		return nil, err
	}
	return s.files, s.decisionList(names)
}

// navigation is what the first page links to, in its order, by its headings.
func navigation(first *pages.Page) (nav []group) {
	nav = []group{{Title: "Detour", Entries: []entry{{Text: "Overview", File: file(index)}}}}
	for i, h := range first.Headings[1:] {
		g, end := group{Title: h.Text}, 1<<30
		if i+2 < len(first.Headings) {
			end = first.Headings[i+2].Line
		}
		for _, l := range first.Links {
			if to := path.Join("docs", l.To); l.Line > h.Line && l.Line < end && !strings.Contains(l.To, "://") {
				g.Entries = append(g.Entries, entry{Text: l.Text, File: file(to)})
			}
		}
		nav = append(nav, g)
	}
	return nav
}

// file is the name on the site of what the repository has by that name.
func file(name string) string {
	switch {
	case name == index:
		return "index.html"
	case name == decisions:
		return "decisions/index.html"
	case !strings.HasPrefix(name, "docs/"): // at the top
		return strings.ToLower(strings.TrimSuffix(name, ".md")) + ".html"
	}
	return strings.TrimSuffix(strings.TrimPrefix(name, "docs/"), ".md") + ".html"
}

// page makes the page of one file.
func (s *site) page(name string) error {
	text, err := os.ReadFile(filepath.Join(s.root, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	body, images, err := render(text, func(to string) string { return s.target(name, to) })
	if err != nil {
		return err
	}
	for _, image := range images {
		from := path.Join(path.Dir(name), image)
		if s.files[strings.TrimPrefix(from, "docs/")], err = os.ReadFile(filepath.Join(s.root, filepath.FromSlash(from))); err != nil {
			return err
		}
	}
	v := view{Title: s.pages[name].Title(), Home: name == index, Body: body, Outline: outline(s.pages[name]), Source: repository + "/blob/main/" + name}
	return s.put(file(name), v)
}

// outline is what stands beside a page that has more than a few headings.
func outline(p *pages.Page) (outline []pages.Heading) {
	for _, h := range p.Headings {
		if h.Level == 2 || h.Level == 3 && len(p.Headings) < 20 {
			outline = append(outline, h)
		}
	}
	if len(outline) < 3 || p.Name == index {
		return nil
	}
	return outline
}

// decisionList makes the page of decisions, which no page of the repository is.
func (s *site) decisionList(names []string) error {
	var list bytes.Buffer
	list.WriteString("<h1>Decisions</h1>\n<p>Why things are as they are, half a page each.</p>\n<ul class=\"index\">\n")
	for _, name := range names {
		if path.Dir(name) == decisions {
			fmt.Fprintf(&list, "<li><a href=\"%s\">%s</a></li>\n", path.Base(file(name)), template.HTMLEscapeString(s.pages[name].Title()))
		}
	}
	list.WriteString("</ul>\n")
	return s.put(file(decisions), view{Title: "Decisions", Body: template.HTML(list.String()), Source: repository + "/tree/main/" + decisions})
}

// put executes the template for a page.
func (s *site) put(name string, v view) error {
	v.Up = strings.Repeat("../", strings.Count(name, "/"))
	shown := name
	if path.Dir(name) == "decisions" {
		shown = file(decisions)
	}
	var all []entry
	for _, g := range s.nav {
		g.Entries = slices.Clone(g.Entries)
		for i := range g.Entries {
			g.Entries[i].Here = g.Entries[i].File == shown
		}
		v.Nav, all = append(v.Nav, g), append(all, g.Entries...)
	}
	for i := range all {
		if all[i].File != name {
			continue
		}
		if i > 0 {
			v.Before = &all[i-1]
		}
		if i+1 < len(all) {
			v.After = &all[i+1]
		}
	}
	var out bytes.Buffer
	err := pageTemplate.Execute(&out, v)
	s.files[name] = out.Bytes()
	return err
}

// target is where a link of a page leads on the site: to another page, or to the
// repository for all that is none.
func (s *site) target(name, to string) string {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "#") {
		return to
	}
	way, anchor, _ := strings.Cut(to, "#")
	if anchor != "" {
		anchor = "#" + anchor
	}
	full := path.Join(path.Dir(name), way)
	if s.pages[full] == nil && full != decisions {
		kind := "/blob/main/"
		if at, err := os.Stat(filepath.Join(s.root, filepath.FromSlash(full))); err == nil && at.IsDir() {
			kind = "/tree/main/"
		}
		return repository + kind + full + anchor
	}
	up := strings.Repeat("../", strings.Count(file(name), "/"))
	return up + file(full) + anchor
}
