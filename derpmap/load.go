package derpmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/detour-relay/detour/internal/text"
)

// MaxSize is how many bytes the text of a map may have. There is room in it for some
// thousand nodes.
const MaxSize = 1 << 20

// Form is a way to write a map down.
type Form string

const (
	JSON   Form = "json"
	HuJSON Form = "hujson" // JSON with comments and trailing commas; written as the derpMap member of a policy file
	YAML   Form = "yaml"   // as Headscale has it: field names in lower case
)

// Load reads a map. An empty form means: look at the text. The map is derpMap of
// the object, or the object itself.
//
// Load is as lenient as those who read maps: names of fields in any case, unknown
// fields kept in Extra, the last of several fields with one name. It takes what
// editors make of a text: UTF-16, byte order marks, any line ends. What it knows
// for another kind of file, it refuses. The error wraps the first [Finding] that
// keeps it from being read; [Lint] has them all, and what is wrong with a map that
// can be read.
func Load(source []byte, form Form) (*Map, error) {
	d, err := read(source, form)
	if err == nil && d.broken != nil {
		err = *d.broken
	}
	if err != nil {
		return nil, fmt.Errorf("DERP map: %w", err)
	}
	return d.result, nil
}

// UnmarshalJSON is Load from JSON. As with other types, null changes nothing.
func (m *Map) UnmarshalJSON(source []byte) error {
	if string(source) == "null" {
		return nil
	}
	loaded, err := Load(source, JSON)
	if err != nil {
		return err
	}
	*m = *loaded
	return nil
}

// FormOf guesses the form of a text from how it begins.
func FormOf(source []byte) Form {
	if decoded, err := text.Decode(source); err == nil {
		source = decoded
	}
	return formOf(source)
}

// formOf takes also a piece of JSON for it, such as a member of a policy file.
func formOf(source []byte) Form {
	trimmed := bytes.TrimSpace(source)
	switch {
	case bytes.HasPrefix(trimmed, []byte("[")) && json.Valid(trimmed):
		return JSON
	case bytes.HasPrefix(trimmed, []byte("{")), bytes.HasPrefix(trimmed, []byte("//")),
		bytes.HasPrefix(trimmed, []byte("/*")), beginsWithMember.Match(trimmed):
		return HuJSON
	}
	return YAML
}

// isJSON tells whether an object of YAML is written as JSON. YAML of its own has no
// quotes around the IDs of regions.
func isJSON(source []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(source), []byte("{")) && json.Valid(source)
}

// read returns a decoder that has read the source. Its error is one of syntax.
func read(source []byte, form Form) (*decoder, error) {
	if len(source) > MaxSize {
		return nil, syntaxAt(place{1, 1}, fmt.Sprintf("it has more than %d bytes", MaxSize))
	}
	source, err := text.Decode(source)
	if e, ok := errors.AsType[*text.Error](err); ok {
		return nil, Finding{
			Severity: Error, Code: "encoding", Line: e.Line, Column: e.Column, Message: e.What, Remedy: e.Remedy,
		}
	}
	if form == "" {
		form = formOf(source)
	}
	root, err := parse(source, form)
	if err != nil {
		return nil, err
	}
	d := &decoder{
		form: form, source: source, isJSON: form == YAML && isJSON(source),
		places: make(map[string]place), bad: make(map[string]bool), unlike: make(map[convention][]spelling),
	}
	d.decode(root)
	return d, nil
}

func parse(source []byte, form Form) (*tree, error) {
	if len(bytes.TrimSpace(source)) == 0 {
		return nil, finding("syntax", place{1, 1}, "it is empty", "write a map into it: an object with the field Regions")
	}
	switch form {
	case JSON, HuJSON:
		return readJSON(source, form == HuJSON)
	case YAML:
		return readYAML(source)
	}
	return nil, errors.New("no such form: " + string(form))
}

// finding is an error of the text as a whole.
func finding(code string, at place, message, remedy string) Finding {
	return Finding{Severity: Error, Code: code, Line: at.line, Column: at.column, Message: message, Remedy: remedy}
}

func syntaxAt(at place, message string) Finding {
	return finding("syntax", at, message, "nothing can be read before this is put right")
}
