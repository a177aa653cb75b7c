package derpmap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A map is read as text -> tree -> Map, and written as Map -> tree -> text. The
// tree is the same for all three forms.

type kind byte

const (
	null kind = iota
	boolean
	number
	str
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// place is where something stands in the source; both count from 1, columns in
// characters. Zero: nowhere.
type place struct{ line, column int }

func (p place) String() string { return fmt.Sprintf("%d:%d", p.line, p.column) }

type tree struct {
	kind    kind
	at      place
	text    string // boolean: true or false; number: a JSON literal; text: the string
	plain   string // YAML only: a scalar as it is written, since there a name like 900 needs no quotes
	items   []*tree
	members []member
}

type member struct {
	name  string
	at    place
	value *tree
	known bool // writing only: a field of ours, which YAML has in lower case

	quoted   bool // YAML only: the name is a string by its quotes or its tag
	anchored bool // YAML only: the value has a name, by which it can be used elsewhere
}

func textTree(s string) *tree   { return &tree{kind: str, text: s} }
func numberTree(s string) *tree { return &tree{kind: number, text: s} }

// find returns the index of the last member with the name, in whatever case, or -1.
func (t *tree) find(name string) int {
	for i, m := range slices.Backward(t.members) {
		if strings.EqualFold(m.name, name) {
			return i
		}
	}
	return -1
}

// depth returns how many lists and objects stand in each other.
func (t *tree) depth() int {
	most := 0
	for _, item := range t.items {
		most = max(most, item.depth())
	}
	for _, m := range t.members {
		most = max(most, m.value.depth())
	}
	if t.kind == list || t.kind == object {
		most++
	}
	return most
}

func (t *tree) add(name string, value *tree) {
	t.members = append(t.members, member{name: name, value: value, known: true})
}

// appendJSON appends the tree as compact JSON.
func (t *tree) appendJSON(out []byte) []byte {
	switch t.kind {
	case null:
		return append(out, "null"...)
	case boolean, number:
		return append(out, t.text...)
	case str:
		return appendQuoted(out, t.text)
	case list:
		out = append(out, '[')
		for i, item := range t.items {
			if i > 0 {
				out = append(out, ',')
			}
			out = item.appendJSON(out)
		}
		return append(out, ']')
	}
	out = append(out, '{')
	for i, m := range t.members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendQuoted(out, m.name), ':')
		out = m.value.appendJSON(out)
	}
	return append(out, '}')
}

// appendQuoted appends a JSON string. What browsers would take for markup stays
// readable: a map is no web page.
func appendQuoted(out []byte, s string) []byte {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic(err) // a string can always be encoded
	}
	return append(out, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// isJSONNumber tells whether a literal is a number in JSON.
func isJSONNumber(literal string) bool {
	if literal == "" || (literal[0] != '-' && (literal[0] < '0' || literal[0] > '9')) {
		return false
	}
	return json.Valid([]byte(literal))
}
