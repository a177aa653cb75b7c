package logtest

import (
	"log/slog"
	"testing"
)

func TestLog(t *testing.T) {
	var l Log
	l.Logger(slog.LevelInfo).Debug("one")
	l.Logger(slog.LevelInfo).Info("one")
	l.Logger(slog.LevelDebug).Debug("one two")
	l.Logger(slog.LevelDebug).Debug("two")
	for _, c := range []struct {
		words []string
		want  int
	}{{nil, 3}, {[]string{"one"}, 2}, {[]string{"one", "two"}, 1}, {[]string{"three"}, 0}} {
		if n := l.Lines(c.words...); n != c.want {
			t.Errorf("%d lines with %q, want %d, in:\n%s", n, c.words, c.want, &l)
		}
	}
}
