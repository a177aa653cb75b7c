package derpmap

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxSize is how many bytes the text of a map may have. There is room in it for some thousand nodes.
const MaxSize = 1 << 20

// Form is a way to write a map down.
type Form string

const (
	JSON   Form = "json"
	HuJSON Form = "hujson" // JSON with comments and trailing commas; written as the derpMap member of a policy file
	YAML   Form = "yaml"   // as Headscale has it: field names in lower case
)

// Load reads a map. An empty form means: look at the text. The map is derpMap of the object, or the object itself.
//
// Load is as lenient as those who read maps: names of fields in any case, unknown fields kept in Extra, the last of several
// fields with one name. The error wraps the first [Finding] that keeps it from being read; [Lint] has them all, and what is wrong
// with a map that can be read.
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
	switch source = bytes.TrimSpace(source); {
	case bytes.HasPrefix(source, []byte("{")), bytes.HasPrefix(source, []byte("//")), bytes.HasPrefix(source, []byte("/*")):
		return HuJSON
	}
	return YAML
}

// read returns a decoder that has read the source. Its error is one of syntax.
func read(source []byte, form Form) (*decoder, error) {
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	if len(source) > MaxSize {
		return nil, syntaxAt(place{1, 1}, fmt.Sprintf("it has more than %d bytes", MaxSize))
	}
	if form == "" {
		form = FormOf(source)
	}
	var root *tree
	var err error
	switch form {
	case JSON, HuJSON:
		root, err = readJSON(source, form == HuJSON)
	case YAML:
		root, err = readYAML(source)
	default:
		err = errors.New("no such form: " + string(form))
	}
	if err != nil {
		return nil, err
	}
	d := &decoder{form: form, places: make(map[string]place), bad: make(map[string]bool)}
	d.decode(root)
	return d, nil
}
