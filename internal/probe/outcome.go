package probe

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

func ok(format string, args ...any) Check {
	return Check{Status: OK, Detail: line(format, args...)}
}

func skip(format string, args ...any) Check {
	return Check{Status: Skip, Detail: line(format, args...)}
}

// warn and fail get what was found; whoever calls them adds the remedy with do.
func warn(format string, args ...any) Check {
	return Check{Status: Warn, Detail: line(format, args...)}
}

func fail(format string, args ...any) Check {
	return Check{Status: Fail, Detail: line(format, args...)}
}

// do adds the remedy.
func (c Check) do(format string, args ...any) Check {
	c.Remedy = line(format, args...)
	return c
}

// maxLine bounds a detail, in characters. Servers have their say in some.
const maxLine = 300

// line formats a text in one line without control characters, since parts of it
// come from servers and go to a terminal.
func line(format string, args ...any) string {
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, fmt.Sprintf(format, args...))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxLine {
		text = string(runes[:maxLine]) + "…"
	}
	return text
}

// short writes a time with the digits that matter to a reader.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", millis(d))
	case d < 10*time.Second:
		return fmt.Sprintf("%.0f ms", millis(d))
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
