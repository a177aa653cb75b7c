// Package pages reads this project's pages of Markdown as far as tests and the site have
// to know them: titles, headings with their anchors, links, and fenced blocks. It is no
// parser of Markdown: it knows how these pages are written, and tests hold them to that.
package pages

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Page is one of them.
type Page struct {
	Name     string // from the root of the repository, with slashes
	Headings []Heading
	Blocks   []Block
	Links    []Link
	Codes    []Code
}

// Heading is a heading, and the anchor by which links find it.
type Heading struct {
	Level  int
	Text   string
	Anchor string
	Line   int
}

// Block is a fenced block: a language, and what stands in it, as it is when it is not
// indented.
type Block struct {
	Name string // the anchor of its section and its number there: run-three-1
	Lang string
	Text string
	Line int // of its first line
}

// Link is a link that a page has, as it is written.
type Link struct {
	Text string
	To   string
	Line int
}

// Code is what stands between backticks in the text.
type Code struct {
	Text string
	Line int
}

// Command is what a block of a console has one type, and what it answers.
type Command struct{ Text, Output string }

// Commands are those of a block of a console: lines behind "$ ", and what is below each. A
// command whose line ends with a backslash goes on in the next.
func (b Block) Commands() (commands []Command) {
	more := false
	for line := range strings.Lines(b.Text) {
		last := len(commands) - 1
		switch text, begins := strings.CutPrefix(line, "$ "); {
		case begins:
			commands = append(commands, Command{Text: text})
			last++
		case more:
			commands[last].Text += line
		case last >= 0:
			commands[last].Output += line
		}
		more = last >= 0 && commands[last].Output == "" && strings.HasSuffix(line, "\\\n")
	}
	return commands
}

// Title is the first heading's text.
func (p *Page) Title() string {
	if len(p.Headings) == 0 {
		return ""
	}
	return p.Headings[0].Text
}

// Anchors are those of its headings.
func (p *Page) Anchors() (anchors []string) {
	for _, h := range p.Headings {
		anchors = append(anchors, h.Anchor)
	}
	return anchors
}

// Block returns the one with that name.
func (p *Page) Block(name string) (Block, bool) {
	for _, b := range p.Blocks {
		if b.Name == name {
			return b, true
		}
	}
	return Block{}, false
}

// Names are the pages below the root of a repository: those at the top, and those of
// docs.
func Names(root string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		names[i] = filepath.Base(name)
	}
	err = fs.WalkDir(os.DirFS(root), "docs", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

// Read reads the page of that name.
func Read(root, name string) (*Page, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	return Parse(name, string(text)), nil
}

var (
	fence   = regexp.MustCompile("^( *)```(.*)$")
	heading = regexp.MustCompile(`^(#+) (.*)$`)
	code    = regexp.MustCompile("`[^`]*`")
	link    = regexp.MustCompile(`\[([^\[\]]*)\]\(([^)\s]+)\)`)
)

// Parse takes a page apart.
func Parse(name, text string) *Page {
	p := &Page{Name: name}
	var anchors Anchors
	section, inSection := "", 0
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		if m := fence.FindStringSubmatch(lines[i]); m != nil {
			inSection++
			b := Block{Name: section + "-" + strconv.Itoa(inSection), Lang: m[2], Line: i + 2}
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
				b.Text += strings.TrimPrefix(lines[i], m[1]) + "\n"
			}
			p.Blocks = append(p.Blocks, b)
			continue
		}
		if m := heading.FindStringSubmatch(lines[i]); m != nil {
			plain := strings.ReplaceAll(m[2], "`", "")
			section, inSection = anchors.Of(plain), 0
			p.Headings = append(p.Headings, Heading{Level: len(m[1]), Text: plain, Anchor: section, Line: i + 1})
		}
		for _, m := range code.FindAllString(lines[i], -1) {
			p.Codes = append(p.Codes, Code{Text: strings.Trim(m, "`"), Line: i + 1})
		}
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(lines[i], ""), -1) {
			p.Links = append(p.Links, Link{Text: m[1], To: m[2], Line: i + 1})
		}
	}
	return p
}

// Anchors makes the anchors of a page's headings, by GitHub's rules, so that a link works
// there and on the site. The zero value is ready.
type Anchors struct{ seen map[string]int }

// Of returns the anchor of the page's next heading.
func (a *Anchors) Of(text string) string {
	anchor := strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, text)
	if a.seen == nil {
		a.seen = make(map[string]int)
	}
	n := a.seen[anchor]
	a.seen[anchor]++
	if n > 0 {
		anchor += "-" + strconv.Itoa(n)
	}
	return anchor
}
