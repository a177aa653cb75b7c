package config

import (
	"reflect"
	"strings"
	"testing"
)

// Each setting can be given by flag, by variable and in the file, and means the same
// there.
func TestEachSettingCanBeGivenInEachWay(t *testing.T) {
	for _, s := range Table() {
		text := s.Example
		if text == "" {
			text = s.Text(Defaults())
		}
		if s.Kind == KindBool {
			text = "true"
		}
		want := Defaults()
		if err := Set(&want, s.Path, text); err != nil {
			t.Fatal(err)
		}
		section, name, nested := strings.Cut(s.Path, ".")
		lines := s.yaml(name, text)
		if !nested {
			lines = s.yaml(s.Path, text)
		}
		file := strings.Join(lines, "\n") + "\n"
		if nested {
			file = section + ":\n  " + strings.Join(lines, "\n  ") + "\n"
		}
		for from, sources := range map[string]Sources{
			"--" + s.Flag:      {Flags: []Given{{s.Path, text}}},
			"$" + s.Variable(): {Environment: []string{s.Variable() + "=" + text}},
			"f":                {File: "f", Contents: []byte(file)},
		} {
			l := Load(sources)
			if l.Err() != nil || !reflect.DeepEqual(l.Config, want) {
				t.Errorf("%s %s: %v\n%s", from, text, l.Err(), file)
			}
			if o := l.Origin(s.Path); !strings.HasPrefix(o.String(), from) || len(l.origins) != 1 {
				t.Errorf("%s comes from %s, not %s", s.Path, o, from)
			}
		}
	}
}
