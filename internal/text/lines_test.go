package text

import (
	"slices"
	"testing"
)

func TestLines(t *testing.T) {
	for text, want := range map[string][]string{
		"":                         nil,
		"\n \n# no\n  # nor this":  nil,
		"a":                        {"a"},
		"# head\n\n a b \n\tc#d\n": {"a b", "c#d"},
	} {
		if got := Lines([]byte(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
