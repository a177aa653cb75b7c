package yamldoc

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/detour-relay/detour/internal/text"
)

// parserMessage is what is left of a parser's error without the line, which is often
// another one than where the mistake is.
var parserMessage = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// Explain says what people did to a text that the parser does not take.
func Explain(source []byte, err error) *Error {
	number, line := failingLine(source, err)
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	if s, ok := strayBefore(source, number); ok {
		return &Error{s.Line, s.Column, "stray-character", s.String() + " stands here", s.Remedy()}
	}
	if tab := bytes.IndexByte(indent, '\t'); tab >= 0 {
		return &Error{number, 1 + tab, "tab", "a tab stands here, and YAML is indented with spaces only", "write two spaces for each tab"}
	}
	message := parserMessage.ReplaceAllString(err.Error(), "")
	return &Error{number, 1, "syntax", message, remedy(message, string(bytes.TrimSpace(line)))}
}

// mostBisected bounds the text in which the failing line is looked for: each step
// parses a part of it.
const mostBisected = 64 << 10

// failingLine returns the first line with which the text before it is no YAML any
// more. The parser itself names the beginning of what it was reading, which has to do
// for long texts.
func failingLine(source []byte, err error) (number int, line []byte) {
	lines := bytes.SplitAfter(bytes.TrimRight(source, "\n"), []byte("\n"))
	good, bad := 0, len(lines)
	if len(source) > mostBisected {
		bad = max(1, min(bad, lineOf(err)))
		good = bad
	}
	for good+1 < bad {
		middle := (good + bad) / 2
		if Parses(bytes.Join(lines[:middle], nil)) {
			good = middle
		} else {
			bad = middle
		}
	}
	return bad, bytes.TrimRight(lines[bad-1], "\n")
}

// lineOf is the line that the parser names; 0 if it names none.
func lineOf(err error) (line int) {
	if found := parserMessage.FindStringSubmatch(err.Error()); found != nil {
		line, _ = strconv.Atoi(found[1])
	}
	return line
}

// strayBefore returns the last stray of the line that fails, or of one of the two
// before it, with which a list or a key has become a text.
func strayBefore(source []byte, number int) (last text.Stray, ok bool) {
	for s := range text.Strays(source) {
		if s.Line > number {
			break
		}
		if s.Line >= number-2 {
			last, ok = s, true
		}
	}
	return last, ok
}

// Parses reports whether a text is one document.
func Parses(source []byte) (ok bool) {
	defer func() { ok = ok && recover() == nil }()
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var document yaml.Node
	err := decoder.Decode(&document)
	if err == nil {
		err = decoder.Decode(&document)
	}
	return errors.Is(err, io.EOF)
}

// needsQuotes are values that begin with what means something in YAML.
var needsQuotes = regexp.MustCompile("^[^:]*: +[@`%&*!|>{\\[]")

func remedy(message, line string) string {
	switch {
	case strings.Contains(message, "tab character"):
		return "indent with spaces only: write two for each tab"
	case strings.Contains(message, "mapping values are not allowed"):
		return "put quotes around a text that has a colon, and begin each key on a line of its own"
	case strings.Contains(message, "unknown anchor"):
		return "define the anchor with & before it is used, or put quotes around the text"
	case strings.Contains(message, "found unexpected end of stream"), strings.Contains(message, "quoted scalar"):
		return "close the quotes, or the brackets, that this line opens"
	case needsQuotes.MatchString(line):
		return "put quotes around the value, or close the bracket that it opens"
	case strings.Contains(message, "could not find expected ':'"):
		return "write key: value, with a colon and a space"
	}
	return "indent what belongs together by the same number of spaces, and write key: value"
}
