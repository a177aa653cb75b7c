package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/detour-relay/detour/internal/text"
)

// An Error says what is wrong with a setting and what to do. Its texts name other
// settings in braces, "{mesh.with}", so that each front end can say how it calls
// them.
type Error struct {
	Setting string // the path; empty: none in particular
	What    string // what is wrong, to be read after the setting's name
	Remedy  string // what to do; empty: What says it
	Err     error  // the cause; instead of What, or after it

	// Choices are what else the remedy says, each for a line of its own where there are
	// lines.
	Choices []Choice

	// More are names in braces that a front end knows besides the settings of a
	// Config.
	More []string

	given []string // what was given, by which passwords are hidden

	// Failed tells a setting that means something which could not be done from one
	// that means nothing.
	Failed bool
}

// A Choice is a way out: what to set, and what it means.
type Choice struct{ Settings, Means string }

// Error names settings by their paths.
func (e *Error) Error() string { return e.Text(func(setting string) string { return setting }) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Text is the error with settings as spell has them.
func (e *Error) Text(spell func(setting string) string) string {
	var b strings.Builder
	if e.Setting != "" {
		b.WriteString(spell(e.Setting))
	}
	if e.What != "" {
		if e.Setting != "" && !strings.HasPrefix(e.What, ",") {
			b.WriteByte(' ')
		}
		b.WriteString(e.spell(e.What, spell))
	}
	if e.Err != nil {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(Text(e.Err, spell))
	}
	if e.Remedy != "" {
		b.WriteString(": " + e.spell(e.Remedy, spell))
	}
	for i, c := range e.Choices {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(" " + e.spell(c.Settings, spell) + " (" + c.Means + ")")
	}
	return text.RedactArguments(b.String(), e.given)
}

// Lines is Text with the choices apart, for who can show each on a line of its own.
func (e *Error) Lines(spell func(setting string) string) (first string, choices []string) {
	whole := *e
	whole.Choices = nil
	width := 0
	for _, c := range e.Choices {
		width = max(width, len(e.spell(c.Settings, spell)))
	}
	for _, c := range e.Choices {
		choices = append(choices, fmt.Sprintf("%-*s  %s", width, e.spell(c.Settings, spell), c.Means))
	}
	return whole.Text(spell), choices
}

// Hide has the error about a setting, if there is one in err, repeat no password of the
// settings: whoever refuses a value may repeat it, or the part of it that is wrong.
func (c Config) Hide(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		e.given = nil
		for _, s := range table() {
			if s.Kind == KindString || s.Kind.Many() {
				e.given = append(e.given, s.Text(c))
			}
		}
	}
	return err
}

// Text is an error with the settings that it and what it wraps are about as spell has
// them.
func Text(err error, spell func(setting string) string) string {
	if e, ok := err.(*Error); ok {
		return e.Text(spell)
	}
	said := err.Error()
	for _, inner := range unwrap(err) {
		said = strings.Replace(said, inner.Error(), Text(inner, spell), 1)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		said = text.RedactArguments(said, e.given) // which whoever wrapped it has not known
	}
	return said
}

func unwrap(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return []error{inner}
		}
	}
	return nil
}

// spell replaces the names in braces by what spell has for them. Other braces stay as
// they are.
func (e *Error) spell(text string, spell func(setting string) string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	var pairs []string
	for _, name := range append(Settings(), e.More...) {
		pairs = append(pairs, "{"+name+"}", spell(name))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
