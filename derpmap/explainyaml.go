package derpmap

import (
	"errors"

	"github.com/detour-relay/detour/internal/yamldoc"
)

// explainYAML says what people did to a text that the parser does not take.
func explainYAML(source []byte, err error) Finding {
	e, ok := errors.AsType[*yamldoc.Error](err)
	if !ok {
		return syntaxAt(place{1, 1}, err.Error())
	}
	at := place{e.Line, e.Column}
	switch e.Code {
	case yamldoc.Empty:
		return finding("syntax", at, e.What, "write a map into it: regions:")
	case yamldoc.Large:
		return syntaxAt(at, e.What)
	case yamldoc.Second:
		return finding("syntax", at, e.What+", and a text has one map",
			"take out the --- and what does not belong to the map, or make two files and merge them (detour map merge)")
	}
	if what, remedy := foreignText(source); what != "" {
		return finding("not-a-map", place{1, 1}, what+", not a map", remedy)
	}
	if f, ok := brokenJSON(source); ok {
		return f
	}
	return finding(e.Code, at, e.What, e.Remedy)
}

// brokenJSON is the word on JSON or HuJSON that stands where YAML should, and that
// the reader of YAML does not take.
func brokenJSON(source []byte) (Finding, bool) {
	if form := formOf(source); form == YAML {
		return Finding{}, false
	}
	_, err := readJSON(source, true)
	if f, ok := errors.AsType[Finding](err); ok {
		return f, true
	}
	return finding("json-in-yaml", place{1, 1}, "this is HuJSON, not YAML", "name it .hujson, or convert it to YAML (detour map convert)"), true
}
