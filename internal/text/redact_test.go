package text

import (
	"strings"
	"testing"
)

func TestRedactURLsHidesPasswordsInTexts(t *testing.T) {
	for in, want := range map[string]string{
		`unknown command "https://u:hunter2@h/x" for "detour peers"`: `unknown command "https://u:***@h/x" for "detour peers"`,
		`"http://:hunter@2@h" and "ftp://a:hunter2/@h"`:              `"http://:***@h" and "ftp://a:***@h"`,
		`unknown command "http://h:8080/x" for "a@b"`:                `unknown command "http://h:8080/x" for "a@b"`,
		`write https:// or u@h`:                                      `write https:// or u@h`,
	} {
		if got := RedactURLs(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestRedactURLHidesPasswords(t *testing.T) {
	for in, want := range map[string]string{
		"http://u:hunter2@h/x":        "http://u:***@h/x",
		"http://u:hunter%zz2@h/x":     "http://u:***@h/x",
		"https://u:hunter2@h:1/x@y":   "https://u:***@y",
		"http://u:hunter/2?#@h":       "http://u:***@h",
		"u:hunter2@h":                 "u:***@h",
		"http://u@h/x":                "http://u@h/x",
		"http://h/x":                  "http://h/x",
		"http://h:8080/x":             "http://h:8080/x",
		"ftp://u:hunter2@h":           "ftp://u:***@h",
		"http://:hunter2@h":           "http://:***@h",
		"http://u:hunter2@[::1]:x/":   "http://u:***@[::1]:x/",
		"":                            "",
		"file@host":                   "file@host",
		"http://u:hunter2:hunter2@ h": "http://u:***@ h",
	} {
		if got := RedactURL(in); got != want || strings.Contains(got, "hunter") {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestRedactArgumentsHidesWhateverPartIsRepeated(t *testing.T) {
	args := []string{"--listen=u:hunter2@x", "--home", "http://v:hunter%zz2@h/x", "http://a:hunterA@b,http://c:hunterC@d", "file@host", "a:b", "@", ""}
	for in, want := range map[string]string{
		`"u:hunter2@x": no such port`:                `"u:***@x": no such port`,
		`port "hunter2@x": want a number`:            `port "***@x": want a number`,
		`--home "http://v:hunter%zz2@h/x": want`:     `--home "http://v:***@h/x": want`,
		`entry 2, http://c:hunterC@d and a:hunterA@`: `entry 2, http://c:***@d and a:***@`,
		`file@host, a:b, @`:                          `file@host, a:b, @`,
	} {
		if got := RedactArguments(in, args); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
