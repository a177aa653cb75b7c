package config

import (
	"reflect"
	"strings"
	"testing"
)

// What is written means what was given, whatever the setting.
func TestWriteIsReadBack(t *testing.T) {
	var given []Given
	remarks := map[string]string{"listen": strings.Repeat("long words about it ", 10), "limits.in": "where it is from"}
	for _, s := range Table() {
		if text := s.Example; text != "" {
			given = append(given, Given{s.Path, text})
		} else if s.Kind == KindBool {
			given = append(given, Given{s.Path, "true"})
		}
	}
	if len(given) < 40 {
		t.Fatalf("%d settings only", len(given))
	}
	text := Write(given, remarks)
	file, line := Load(Sources{File: "f", Contents: []byte(text)}), Load(Sources{Flags: given})
	if err := file.Err(); err != nil || !reflect.DeepEqual(file.Config, line.Config) {
		t.Errorf("%v\n%+v\nis not\n%+v\n%s", err, file.Config, line.Config, text)
	}
	if !strings.Contains(text, "\n  # where it is from\n  in: ") {
		t.Errorf("no remark:\n%s", text)
	}
}

// A command line with names of its own is told by them, and by variables where it has
// none.
func TestProblemsAreSpeltByNames(t *testing.T) {
	names := map[string]string{"listen": "a", "tls.cert": "certdir"}
	l := Load(Sources{Names: names, Flags: []Given{{"listen", "x"}, {"tls.cert", "c"}, {"drain", "1s"}}, Environment: []string{"DETOUR_HOME=blank"}})
	for path, want := range map[string]string{
		"listen": "--a", "tls.cert": "--certdir", "drain": "--drain", "home": "$DETOUR_HOME", "hostname": "$DETOUR_HOSTNAME", "tls.key": "$DETOUR_TLS_KEY",
	} {
		if got := l.Spell(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}
