package config

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/detour-relay/detour/internal/text"
)

// A Setting is one row of the table: all there is to know of one value.
type Setting struct {
	Path  string // "mesh.with"; with underscores and in capitals it is the variable
	Flag  string // how the command line calls it, without dashes
	Group string // the heading that it stands under

	// Help says what it is for, in one line, with the name of the value in backquotes.
	Help string

	// The value that counts where none is given: that of Defaults, or where this is
	// empty, Otherwise, or what Follows says in words.
	Otherwise, Follows string

	Choices []string // words that mean something
	Begins  []string // how other values begin
	Example string   // a value, as Set takes it; empty: the default serves

	Kind   Kind
	Live   bool // a running relay takes it over
	File   bool // it names a file, or is a list of such names
	Secret bool // what a value says beside a host is for nobody's eyes
}

// A Kind is what values of a setting are.
type Kind string

// The kinds of settings.
const (
	KindBool     Kind = "bool"
	KindString   Kind = "string"
	KindInt      Kind = "int"
	KindFloat    Kind = "float"
	KindDuration Kind = "duration"
	KindRate     Kind = "rate"
	KindSize     Kind = "size"
	KindList     Kind = "list"   // of strings
	KindMap      Kind = "map"    // of strings
	KindLimits   Kind = "limits" // a map of Limit
)

// Many reports whether a setting has several values.
func (k Kind) Many() bool { return k == KindList || k == KindMap || k == KindLimits }

var kinds = map[reflect.Type]Kind{
	reflect.TypeFor[bool]():              KindBool,
	reflect.TypeFor[string]():            KindString,
	reflect.TypeFor[int]():               KindInt,
	reflect.TypeFor[float64]():           KindFloat,
	reflect.TypeFor[Duration]():          KindDuration,
	reflect.TypeFor[Rate]():              KindRate,
	reflect.TypeFor[Size]():              KindSize,
	reflect.TypeFor[[]string]():          KindList,
	reflect.TypeFor[map[string]string](): KindMap,
	reflect.TypeFor[map[string]Limit]():  KindLimits,
}

// Table returns all settings, in the order in which people are shown them.
func Table() []Setting { return slices.Clone(table()) }

var table = sync.OnceValue(func() []Setting {
	byPath := make(map[string]reflect.Value)
	for _, v := range values(Config{}) {
		byPath[v.setting] = v.value
	}
	all := slices.Clone(rows)
	for i := range all {
		s := &all[i]
		if s.Flag == "" {
			s.Flag = strings.ReplaceAll(s.Path, ".", "-")
		}
		s.Live = !slices.Contains(restart, s.Path)
		if v, ok := byPath[s.Path]; ok {
			s.Kind = kinds[v.Type()]
		}
	}
	return all
})

// Lookup returns the setting of that path.
func Lookup(path string) (Setting, bool) {
	i := slices.IndexFunc(table(), func(s Setting) bool { return s.Path == path })
	if i < 0 {
		return Setting{}, false
	}
	return table()[i], true
}

// Variable is how the environment calls the setting.
func (s Setting) Variable() string {
	return VariablePrefix + strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToUpper(s.Path))
}

// VariablePrefix begins the variables of the environment that are settings.
const VariablePrefix = "DETOUR_"

// Default is the value that counts where none is given, in words if it follows from
// others; empty: none. Settings in it are spelt as spell has them.
func (s Setting) Default(spell func(string) string) string {
	switch {
	case s.Follows != "":
		return (&Error{}).spell(s.Follows, spell)
	case s.Otherwise != "":
		return s.Otherwise
	}
	if text := s.Text(Defaults()); text != "false" && text != "0" && text != "0s" && text != "0B" {
		return text
	}
	return ""
}

// Usage is the help with settings as spell has them.
func (s Setting) Usage(spell func(string) string) string { return (&Error{}).spell(s.Help, spell) }

// Text is the value of a configuration, as Set takes it.
func (s Setting) Text(c Config) string { return textOf(s.value(&c)) }

// Shown is Text without what is for nobody's eyes.
func (s Setting) Shown(c Config) string { return s.mask(s.Text(c)) }

// value is the field of the setting.
func (s Setting) value(c *Config) reflect.Value {
	for _, v := range fields(nil, "", reflect.ValueOf(c).Elem()) {
		if v.setting == s.Path {
			return v.value
		}
	}
	panic("config: no setting " + s.Path) // rows are compared with the fields by a test
}

// mask hides passwords and queries in each value, and where a URL as a whole is a secret all but
// its host.
func (s Setting) mask(shown string) string {
	parts := strings.Split(shown, ",")
	for i, part := range parts {
		part = text.RedactURL(part)
		scheme, rest, isURL := strings.Cut(part, "://")
		if before, query, _ := strings.Cut(part, "?"); isURL && query != "" {
			part = before + "?***"
		}
		if s.Secret && isURL {
			host, _, _ := strings.Cut(rest, "/")
			part = scheme + "://" + host + "/***"
		}
		parts[i] = part
	}
	return strings.Join(parts, ",")
}
