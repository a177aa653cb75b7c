package derpmap

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// maxDepth is how many lists and objects may stand in each other. A map needs five.
const maxDepth = 32

// readJSON reads JSON, with comments and trailing commas if human.
func readJSON(source []byte, human bool) (*tree, error) {
	if at, ok := tooDeep(source); ok {
		return nil, syntaxAt(placeOf(source, at), fmt.Sprintf("more than %d lists and objects stand in each other", maxDepth))
	}
	// A comment on the last line needs the end of it.
	value, err := hujson.Parse(append(slices.Clip(source), '\n'))
	if err != nil {
		return nil, syntaxError(err)
	}
	if !human && !value.IsStandard() {
		return nil, Finding{
			Severity: Error, Code: "syntax", Line: 1, Column: 1, Message: "it has comments or trailing commas, which JSON has not",
			Remedy: "take them out, or say that it is HuJSON",
		}
	}
	r := jsonReader{source: source, at: place{1, 1}}
	return r.tree(&value), nil
}

// tooDeep looks for nesting before the parser, which has no bound, follows it down.
func tooDeep(source []byte) (offset int, yes bool) {
	depth := 0
	for i := 0; i < len(source); i++ {
		switch source[i] {
		case '"':
			for i++; i < len(source) && source[i] != '"'; i++ {
				if source[i] == '\\' {
					i++
				}
			}
		case '/':
			i = afterComment(source, i)
		case '{', '[':
			if depth++; depth > maxDepth {
				return i, true
			}
		case '}', ']':
			depth--
		}
	}
	return 0, false
}

// afterComment returns the offset of the last byte of the comment that begins at i, or i if none does.
func afterComment(source []byte, i int) int {
	for start, end := range map[string]string{"//": "\n", "/*": "*/"} {
		if !bytes.HasPrefix(source[i:], []byte(start)) {
			continue
		}
		n := bytes.Index(source[i+2:], []byte(end))
		if n < 0 {
			return len(source)
		}
		return i + 2 + n + len(end) - 1
	}
	return i
}

// jsonReader turns offsets into places. It is asked for them in ascending order, so one pass over the source is enough.
type jsonReader struct {
	source []byte
	offset int
	at     place
}

func (r *jsonReader) placeAt(offset int) place {
	for r.offset < offset {
		_, size := utf8.DecodeRune(r.source[r.offset:])
		if r.source[r.offset] == '\n' {
			r.at = place{r.at.line + 1, 1}
		} else {
			r.at.column++
		}
		r.offset += size
	}
	return r.at
}

func placeOf(source []byte, offset int) place {
	r := jsonReader{source: source, at: place{1, 1}}
	return r.placeAt(offset)
}

func (r *jsonReader) tree(v *hujson.Value) *tree {
	t := &tree{at: r.placeAt(v.StartOffset)}
	switch value := v.Value.(type) {
	case *hujson.Object:
		t.kind = object
		for i := range value.Members {
			m := &value.Members[i]
			at := r.placeAt(m.Name.StartOffset)
			name, _ := m.Name.Value.(hujson.Literal)
			t.members = append(t.members, member{name: name.String(), at: at, value: r.tree(&m.Value)})
		}
	case *hujson.Array:
		t.kind = list
		for i := range value.Elements {
			t.items = append(t.items, r.tree(&value.Elements[i]))
		}
	case hujson.Literal:
		switch value.Kind() {
		case '"':
			t.kind, t.text = text, value.String()
		case '0':
			t.kind, t.text = number, string(value)
		case 't', 'f':
			t.kind, t.text = boolean, string(value)
		}
	}
	return t
}

// placeInError is how both parsers say where they stopped. They have no other way to say it.
var placeInError = regexp.MustCompile(`^(?:hujson|yaml): (?:line (\d+)(?:, column (\d+))?: )?`)

// syntaxError is the error of a parser as a finding.
func syntaxError(err error) Finding {
	message := err.Error()
	at := place{1, 1}
	if found := placeInError.FindStringSubmatch(message); found != nil {
		message = message[len(found[0]):]
		if n, err := strconv.Atoi(found[1]); err == nil {
			at.line = n
		}
		if n, err := strconv.Atoi(found[2]); err == nil {
			at.column = n
		}
	}
	return syntaxAt(at, message)
}

func syntaxAt(at place, message string) Finding {
	return Finding{
		Severity: Error, Code: "syntax", Line: at.line, Column: at.column, Message: message,
		Remedy: "nothing can be read before this is put right",
	}
}
