package explain

import (
	"regexp"
	"strings"
	"testing"
)

func compare(t *testing.T, err error, way Way, cause Cause, want, not string) {
	t.Helper()
	way.Words, way.Now = flags, now
	f := Explain(err, way)
	if f.Cause != cause || !regexp.MustCompile(want).MatchString(f.Remedy) {
		t.Errorf("%v is told as %q: %q\nwant %q: %s", err, f.Cause, f.Remedy, cause, want)
	}
	if not != "" && strings.Contains(f.Remedy, not) {
		t.Errorf("%v: %q, which must not speak of %q", err, f.Remedy, not)
	}
}
