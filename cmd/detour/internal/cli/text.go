package cli

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Counted says how many there are of something.
func Counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// Millis writes microseconds as milliseconds with three digits that mean something.
func Millis(us float64) string {
	switch ms := us / 1e3; {
	case ms < 10:
		return fmt.Sprintf("%.3f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.2f ms", ms)
	default:
		return fmt.Sprintf("%.1f ms", ms)
	}
}

// Bytes writes a size with a unit.
func Bytes(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
}

// Clean makes a text of others fit for a terminal: in one line, without control characters, and no longer
// than that.
func Clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.Join(strings.Fields(text), " "))
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most-2]) + ".."
	}
	return text
}

// OneLine folds the texts of libraries that have several lines.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Fold breaks a text into lines of so many columns, at spaces, and ends it with a
// newline; all but the first begin with so many spaces. A word that is longer stands in
// a line of its own, whole.
func Fold(text string, width, indent int) string {
	lead := text[:len(text)-len(strings.TrimLeft(text, " "))]
	var b strings.Builder
	b.WriteString(lead)
	column := len(lead)
	for i, word := range strings.SplitAfter(text[len(lead):], " ") {
		length := utf8.RuneCountInString(strings.TrimRight(word, " "))
		if i > 0 && column+length > width {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		}
		b.WriteString(word)
		column += utf8.RuneCountInString(word)
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}
