package text

import (
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// A Stray is a character that editors and word processors put in place of ASCII. It
// looks like what was meant, and readers take it for something else.
type Stray struct {
	Offset       int // in bytes
	Line, Column int
	Char         rune
	Name         string // such as "no-break space"
	Meant        string // the ASCII in whose place it stands; empty: nothing
}

func (s Stray) String() string {
	article := "a"
	if strings.ContainsRune("aeio", rune(s.Name[0])) {
		article = "an"
	}
	return fmt.Sprintf("%s %s (U+%04X)", article, s.Name, s.Char)
}

// Remedy says what to do about it.
func (s Stray) Remedy() string {
	switch s.Meant {
	case "":
		return "take it out"
	case " ":
		return "write an ordinary space"
	case "\n":
		return "end the line with Enter"
	case `"`, `'`, "`":
		return "write a straight quote " + s.Meant
	}
	return "write " + s.Meant
}

// Strays goes through the strays of a text in UTF-8 with LF. They are no fault by
// themselves: names that people read, and comments, may have them.
func Strays(text []byte) iter.Seq[Stray] {
	return func(yield func(Stray) bool) {
		line, column := 1, 1
		for i := 0; i < len(text); {
			r, size := utf8.DecodeRune(text[i:])
			if r >= 0x80 && (r != utf8.RuneError || size > 1) {
				if name, meant := stray(r); name != "" && !yield(Stray{i, line, column, r, name, meant}) {
					return
				}
			}
			i += size
			column++
			if r == '\n' {
				line, column = line+1, 1
			}
		}
	}
}

// FirstStray returns the first stray of a text.
func FirstStray(text []byte) (Stray, bool) {
	for s := range Strays(text) {
		return s, true
	}
	return Stray{}, false
}

// spans are the strays by code point. What is meant by a span of width is ASCII moved
// up as a whole.
var spans = []struct {
	from, to    rune
	name, meant string
}{
	{0x0080, 0x0084, "control character", ""},
	{0x0085, 0x0085, "next line character", "\n"},
	{0x0086, 0x009f, "control character", ""},
	{0x00a0, 0x00a0, "no-break space", " "},
	{0x00ab, 0x00ab, "angle quote", `"`},
	{0x00ad, 0x00ad, "soft hyphen", ""},
	{0x00b4, 0x00b4, "acute accent", "'"},
	{0x00bb, 0x00bb, "angle quote", `"`},
	{0x1680, 0x1680, "ogham space", " "},
	{0x2000, 0x200a, "typographic space", " "},
	{0x200b, 0x200b, "zero-width space", ""},
	{0x200c, 0x200d, "zero-width joiner", ""},
	{0x200e, 0x200f, "direction mark", ""},
	{0x2010, 0x2012, "typographic hyphen", "-"},
	{0x2013, 0x2013, "en dash", "-"},
	{0x2014, 0x2015, "em dash", "-"},
	{0x2018, 0x201b, "smart single quote", "'"},
	{0x201c, 0x201f, "smart double quote", `"`},
	{0x2024, 0x2024, "leader dot", "."},
	{0x2026, 0x2026, "ellipsis", "..."},
	{0x2028, 0x2029, "line separator", "\n"},
	{0x202a, 0x202e, "direction mark", ""},
	{0x202f, 0x202f, "narrow no-break space", " "},
	{0x2032, 0x2032, "prime", "'"},
	{0x2033, 0x2033, "double prime", `"`},
	{0x2039, 0x203a, "angle quote", "'"},
	{0x205f, 0x205f, "typographic space", " "},
	{0x2060, 0x2064, "invisible joiner", ""},
	{0x2066, 0x2069, "direction mark", ""},
	{0x2212, 0x2212, "minus sign", "-"},
	{0x3000, 0x3000, "ideographic space", " "},
	{0x3002, 0x3002, "ideographic full stop", "."},
	{0xfe63, 0xfe63, "small hyphen", "-"},
	{0xfeff, 0xfeff, "byte order mark", ""},
	{0xfffd, 0xfffd, "replacement character", ""},
}

func stray(r rune) (name, meant string) {
	if 0xff01 <= r && r <= 0xff5e {
		return "full-width character", string(r - 0xff01 + '!')
	}
	for _, s := range spans {
		if s.from <= r && r <= s.to {
			return s.name, s.meant
		}
	}
	return "", ""
}
