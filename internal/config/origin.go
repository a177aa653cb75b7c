package config

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/detour-relay/detour/internal/text"
)

// An Origin is where the value of a setting comes from. The zero one is its default.
type Origin struct {
	Flag         string // as the command line calls it, without dashes
	Variable     string // of the environment
	File         string // with the place in it
	Line, Column int
}

// String is the origin as people write it.
func (o Origin) String() string {
	switch {
	case o.Flag != "":
		return "--" + o.Flag
	case o.Variable != "":
		return "$" + o.Variable
	case o.Line > 0:
		return fmt.Sprintf("%s:%d:%d", o.File, o.Line, o.Column)
	}
	return cmp.Or(o.File, "default")
}

// A Problem is one thing that keeps settings from being used, said where whoever gave
// them finds it.
type Problem struct {
	Origin  Origin
	Setting string // the path; empty: none
	Text    string // what and what to do, with settings as they were given
}

// mostSaid bounds the text of a problem, which may repeat a value.
const mostSaid = 1000

// newProblem makes one that repeats no password, whoever has repeated a value in it, and
// that a terminal can show.
func newProblem(from Origin, path, said string) *Problem {
	said = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text.RedactURLs(said))
	if len(said) > mostSaid { // what is wrong stands in front, what to do behind
		said = strings.ToValidUTF8(said[:mostSaid/2]+" ... "+said[len(said)-mostSaid/2:], "")
	}
	return &Problem{from, path, said}
}

// Error is the text, behind its place if that is one in a file.
func (p *Problem) Error() string { return p.Origin.place() + p.Text }

func (o Origin) place() string {
	if o.File == "" {
		return ""
	}
	return o.String() + ": "
}

// Loaded are settings and where each comes from.
type Loaded struct {
	Config   Config
	File     string // that was read; empty: none
	Problems []*Problem

	// Credentials are those that settings name and that nobody has put anywhere: this
	// process is not the service. Who wants to use them has to refuse.
	Credentials []Given

	origins map[string]Origin
	names   map[string]string // of Sources
}

// Origin is where the value of a setting comes from.
func (l *Loaded) Origin(path string) Origin { return l.origins[path] }

// Spell calls a setting as whoever gave it has, and others as the file has them if
// there is one, else as flags.
func (l *Loaded) Spell(path string) string {
	switch o := l.origins[path]; {
	case o.Flag != "", o.Variable != "":
		return o.String()
	case o.File != "", l.File != "":
		return path
	}
	if s, known := Lookup(path); known {
		return l.named(s)
	}
	return "--" + strings.ReplaceAll(path, ".", "-") // a name that a program has besides
}

// named is what the command line calls a setting. One with names of its own has not all
// of them: others are variables there.
func (l *Loaded) named(s Setting) string {
	name, ok := l.names[s.Path]
	switch {
	case l.names == nil:
		return "--" + s.Flag
	case ok:
		return "--" + name
	}
	return "$" + s.Variable()
}

// Err is the first problem; nil: there is none.
func (l *Loaded) Err() error {
	if len(l.Problems) == 0 {
		return nil
	}
	return l.Problems[0]
}

// Problem says an error about a setting where that was given.
func (l *Loaded) Problem(e *Error) *Problem {
	return newProblem(l.At(e.Setting), e.Setting, e.Text(l.Spell))
}

// Place begins what is said of a setting that the file gives, or would.
func (l *Loaded) Place(path string) string { return l.At(path).place() }

// At is where a setting is to be mended. What nobody has given is missing in the file.
func (l *Loaded) At(path string) Origin {
	if o := l.origins[path]; o != (Origin{}) {
		return o
	}
	return Origin{File: l.File}
}

func (l *Loaded) add(e *Error) {
	if e != nil {
		l.Problems = append(l.Problems, l.Problem(e))
	}
}

// Usable is the first thing that keeps this process from using the settings, also that
// it is not the service that a credential is for; nil: there is none.
func (l *Loaded) Usable() error {
	if err := l.Err(); err != nil || len(l.Credentials) == 0 {
		return err
	}
	missing := l.Credentials[0]
	return l.Problem(&Error{Setting: missing.Path, What: "names the credential " + missing.Text + ", and there is no $CREDENTIALS_DIRECTORY",
		Remedy: "have systemd start the relay with LoadCredential=" + missing.Text + ":FILE, or name the file itself"})
}
