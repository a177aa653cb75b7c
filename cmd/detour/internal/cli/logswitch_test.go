package cli

import (
	"bytes"
	"regexp"
	"testing"
)

// Whatever a logger was derived from and when, its lines have the format of now.
func TestLogFormatSwitches(t *testing.T) {
	var out bytes.Buffer
	log, write, err := NewSwitchLogger(&out, "text")
	if err != nil {
		t.Fatal(err)
	}
	derived := log.With("a", 1).WithGroup("g").With("b", 2)
	for _, step := range []struct{ format, plain, derived string }{
		{"", `level=DEBUG msg=one\n$`, `msg=two a=1 g\.b=2 g\.c=3\n$`},
		{"json", `"level":"DEBUG","msg":"one"}\n$`, `"msg":"two","a":1,"g":{"b":2,"c":3}}\n$`},
		{"xml", `"msg":"one"}\n$`, `"a":1,"g":{"b":2,"c":3}}\n$`}, // means nothing: nothing changes
		{"text", `msg=one\n$`, `msg=two a=1 g\.b=2 g\.c=3\n$`},
	} {
		if step.format != "" {
			write(step.format)
		}
		out.Reset()
		if log.Debug("one"); !regexp.MustCompile(step.plain).MatchString(out.String()) {
			t.Errorf("%s: %s", step.format, out.String())
		}
		out.Reset()
		if derived.Info("two", "c", 3); !regexp.MustCompile(step.derived).MatchString(out.String()) {
			t.Errorf("%s: %s", step.format, out.String())
		}
	}
	if _, _, err := NewSwitchLogger(&out, "xml"); err == nil {
		t.Error("nonsense is taken")
	}
}
