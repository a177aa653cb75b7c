package config

import "strings"

// An Error says what is wrong with a setting and what to do. Its texts name other
// settings in braces, "{mesh.with}", so that each front end can say how it calls
// them.
type Error struct {
	Setting string // the path; empty: none in particular
	What    string // what is wrong, to be read after the setting's name
	Remedy  string // what to do; empty: What says it
	Err     error  // the cause; instead of What, or after it

	// Failed tells a setting that means something which could not be done from one
	// that means nothing.
	Failed bool
}

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
		b.WriteString(" " + Spell(e.What, spell))
	}
	if e.Err != nil {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	if e.Remedy != "" {
		b.WriteString(": " + Spell(e.Remedy, spell))
	}
	return b.String()
}

// Spell replaces the settings in braces by what spell has for them. Other braces
// stay as they are.
func Spell(text string, spell func(setting string) string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	var pairs []string
	for _, setting := range Settings() {
		pairs = append(pairs, "{"+setting+"}", spell(setting))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
