package derpmap

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"

	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/internal/yamldoc"
)

// beginsWithMember is JSON that somebody has cut out of an object.
var beginsWithMember = regexp.MustCompile(`^"[^"\n]*"\s*:\s*[{\[]`)

// explainJSON says what people did to a text that no parser takes. The parser's own
// words are the last resort.
func explainJSON(source []byte, s shape, err error) Finding {
	offset, message := whereJSON(source, err)
	if what, remedy := foreignText(source); what != "" {
		return finding("not-a-map", place{1, 1}, what+", not a map", remedy)
	}
	if f, ok := strayAt(source, offset); ok {
		return f
	}
	if f, ok := snippet(source); ok {
		return f
	}
	if formOf(source) == YAML && keyOfYAML.Match(firstLine(source)) && yamldoc.Parses(source) {
		return finding("yaml-in-json", place{1, 1}, "this is YAML, not JSON", "name it .yaml, or convert it to JSON (detour map convert)")
	}
	if i := openString(source); i >= 0 {
		return finding("syntax", placeOf(source, i), "the text that begins here does not end on its line", `close it with "`)
	}
	at := placeOf(source, offset)
	switch {
	case offset >= len(bytes.TrimSpace(source)) && len(s.open) > 0:
		return unclosed(source, s)
	case s.stray >= 0 && s.stray <= offset:
		return finding("syntax", placeOf(source, s.stray), fmt.Sprintf("this %c closes nothing that is open", source[s.stray]),
			"take it out, or open what it should close")
	case offset < len(source):
		if message, remedy := mistakeJSON(source, offset, message); message != "" {
			return finding("syntax", at, message, remedy)
		}
	}
	return syntaxAt(at, message)
}

// keyOfYAML is a line that begins a block of YAML, or a list.
var keyOfYAML = regexp.MustCompile(`^(- )?[\w"' -]+:(\s|$)`)

// placeInError is how the parser says where it stopped, columns in bytes. It has no
// other way to say it.
var placeInError = regexp.MustCompile(`^hujson: line (\d+), column (\d+): `)

func whereJSON(source []byte, err error) (offset int, message string) {
	message = err.Error()
	found := placeInError.FindStringSubmatch(message)
	if found == nil {
		return 0, message
	}
	line, _ := strconv.Atoi(found[1])
	column, _ := strconv.Atoi(found[2])
	for ; line > 1; line-- {
		offset += 1 + bytes.IndexByte(source[offset:], '\n')
	}
	end := len(bytes.TrimRight(source, " \t\n")) // an error at the end is where the text ends, not behind it
	return max(0, min(offset+column-1, end)), message[len(found[0]):]
}

// strayAt names a character that an editor put where the parser stopped.
func strayAt(source []byte, offset int) (Finding, bool) {
	s, ok := text.FirstStray(source[offset:])
	if !ok || s.Offset != 0 {
		return Finding{}, false
	}
	return finding("stray-character", placeOf(source, offset), s.String()+" stands here", s.Remedy()), true
}

// snippet knows a piece that was cut out of a map or of a policy file.
func snippet(source []byte) (Finding, bool) {
	inner := bytes.TrimSpace(source)
	at := placeOf(source, len(source)-len(bytes.TrimLeft(source, " \t\n")))
	if value, err := hujson.Parse(around("{", inner, "}")); err == nil {
		object, _ := value.Value.(*hujson.Object)
		if object == nil || len(object.Members) == 0 {
			return Finding{}, false
		}
		name, _ := object.Members[0].Name.Value.(hujson.Literal)
		what, remedy := piece(name.String())
		return finding("snippet", at, what, remedy), true
	}
	if value, err := hujson.Parse(around("[", inner, "]")); err == nil {
		if list, _ := value.Value.(*hujson.Array); list != nil && len(list.Elements) > 1 && inner[0] == '{' {
			return finding("snippet", at, "these are several objects without what they belong to",
				"put nodes into the Nodes of a region, and regions into Regions with their IDs as keys"), true
		}
	}
	return Finding{}, false
}

// around closes the inner text on a line of its own, since it may end in a comment.
func around(open string, inner []byte, end string) []byte {
	return append(append([]byte(open), inner...), "\n"+end...)
}

// piece says of what an object is a piece that begins with a name.
func piece(name string) (what, remedy string) {
	_, err := strconv.Atoi(name)
	field := func(f string) bool { return strings.EqualFold(f, name) }
	switch {
	case err == nil:
		return "this is the inside of Regions", `put {"Regions": { before it and }} behind it`
	case field("HostName"), field("Name"):
		return "this is the inside of a node", `put {"Regions": {"900": {"RegionID": 900, "Nodes": [{ before it and }]}}} behind it`
	case slices.ContainsFunc(regionFields, field):
		return "this is the inside of a region", `put {"Regions": {"900": { before it and }}} behind it`
	}
	return "this is the inside of an object", "put { before it and } behind it"
}

// unclosed says which brackets are open where the text ends.
func unclosed(source []byte, s shape) Finding {
	end := len(bytes.TrimRight(source, " \t\n"))
	var missing []byte
	for i := len(s.open) - 1; i >= 0; i-- {
		missing = append(missing, map[byte]byte{'{': '}', '[': ']'}[source[s.open[i]]])
	}
	last := s.open[len(s.open)-1]
	return finding("syntax", placeOf(source, end),
		fmt.Sprintf("the text ends, but the %c of %v is not closed", source[last], placeOf(source, last)),
		fmt.Sprintf("add %s at the end, or the brackets where they are missing", missing))
}

// openString returns the offset of the first string that goes on behind its line, or
// -1.
func openString(source []byte) int {
	for i := 0; i < len(source); i++ {
		end := skip(source, i)
		if source[i] == '"' && bytes.IndexByte(source[i:min(end, len(source))], '\n') >= 0 || source[i] == '"' && end == len(source) {
			return i
		}
		i = end
	}
	return -1
}

// wordsOfJSON are what other languages write for values of JSON.
var wordsOfJSON = map[string]string{
	"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false",
	"null": "null", "none": "null", "nil": "null", "undefined": "null",
}

var word = regexp.MustCompile(`^[\pL_$][\pL\pN_$.-]*`)

var digits = regexp.MustCompile(`^\d+`)

// mistakeJSON knows by the character at which the parser stopped what people write
// who have another language in mind.
func mistakeJSON(source []byte, offset int, message string) (what, remedy string) {
	c, _ := utf8.DecodeRune(source[offset:])
	found := string(word.Find(source[offset:]))
	switch {
	case strings.Contains(message, "after top-level value") && strings.ContainsRune(`{["`, c):
		return "a second value begins here, and a text has one map", "keep one of them, or merge them (detour map merge)"
	case c == '\'' || c == '`':
		return "JSON has no single quotes", `write " in place of each`
	case c == '#':
		return "comments do not begin with # in JSON", "take it out; in HuJSON they begin with //"
	case c == '=':
		return "a = stands here", "write : between a name and its value"
	case c == ';':
		return "a ; stands here", "write , between two members"
	case strings.Contains(message, "expecting") && (c == '"' || c == '{' || c == '['):
		return "a comma is missing before this", "put one behind the value before"
	case strings.Contains(message, "object name") && '0' <= c && c <= '9':
		return "the name of a member has no quotes around it", fmt.Sprintf("write %q", digits.Find(source[offset:]))
	case c == ',':
		return "a comma stands here without a value before it", "take it out"
	case found != "" && wordsOfJSON[strings.ToLower(found)] != "" && !strings.Contains(message, "object name"):
		return found + " is no value of JSON", "write " + wordsOfJSON[strings.ToLower(found)]
	case found != "":
		return found + " has no quotes around it", fmt.Sprintf("write %q", found)
	}
	return "", ""
}
