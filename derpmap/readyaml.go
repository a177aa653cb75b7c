package derpmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxYAML bounds what aliases blow up: values, and bytes of names and scalars. Without aliases there are never so many.
const maxYAML = 4 * MaxSize

// readYAML reads YAML: one document, with aliases and merge keys, without tags of its own.
func readYAML(source []byte) (_ *tree, err error) {
	// The parser promises no panics, but it is large, and what it reads may come from anybody.
	defer func() {
		if p := recover(); p != nil {
			err = syntaxAt(place{1, 1}, fmt.Sprintf("the YAML reader gave up: %v", p))
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	var document, second yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, syntaxAt(place{1, 1}, "it is empty")
	} else if err != nil {
		return nil, syntaxError(err)
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, syntaxAt(placeOfYAML(&second), "a second document begins here")
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(err)
	}
	r := yamlReader{left: maxYAML}
	return r.tree(document.Content[0], 0)
}

type yamlReader struct{ left int }

func placeOfYAML(n *yaml.Node) place { return place{n.Line, n.Column} }

func (r *yamlReader) tree(n *yaml.Node, depth int) (*tree, error) {
	at := placeOfYAML(n)
	if depth > maxDepth {
		return nil, syntaxAt(at, fmt.Sprintf("more than %d lists and objects stand in each other", maxDepth))
	}
	if r.left -= 1 + len(n.Value); r.left < 0 {
		return nil, syntaxAt(at, "the aliases blow it up too much")
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.tree(n.Alias, depth+1) // +1: an alias may stand in what it stands for
	case yaml.SequenceNode:
		t := &tree{kind: list, at: at}
		for _, c := range n.Content {
			item, err := r.tree(c, depth+1)
			if err != nil {
				return nil, err
			}
			t.items = append(t.items, item)
		}
		return t, nil
	case yaml.MappingNode:
		return r.object(n, depth)
	}
	return scalar(n)
}

func (r *yamlReader) object(n *yaml.Node, depth int) (*tree, error) {
	t := &tree{kind: object, at: placeOfYAML(n)}
	var merged []*tree
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		value, err := r.tree(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		if name.Kind == yaml.AliasNode {
			name = name.Alias
		}
		r.left -= len(name.Value)
		switch {
		case name.Kind != yaml.ScalarNode:
			return nil, syntaxAt(placeOfYAML(name), "a key is not a simple word")
		case name.ShortTag() == "!!merge" && value.kind == list:
			merged = append(merged, value.items...)
		case name.ShortTag() == "!!merge":
			merged = append(merged, value)
		default:
			t.members = append(t.members, member{name: name.Value, at: placeOfYAML(n.Content[i]), value: value})
		}
	}
	return t, mergeInto(t, merged)
}

// mergeInto adds what << brings in. What the object has itself, or an earlier one brought in, counts more.
func mergeInto(t *tree, merged []*tree) error {
	if len(merged) == 0 {
		return nil
	}
	has := make(map[string]bool)
	for _, m := range t.members {
		has[m.name] = true
	}
	for _, from := range merged {
		if from.kind != object {
			return syntaxAt(from.at, "<< needs an object or a list of objects")
		}
		for _, m := range from.members {
			if !has[m.name] {
				has[m.name] = true
				t.members = append(t.members, m)
			}
		}
	}
	return nil
}

func scalar(n *yaml.Node) (*tree, error) {
	t := &tree{at: placeOfYAML(n), plain: n.Value}
	switch tag := n.ShortTag(); tag {
	case "!!null":
	case "!!str", "!!timestamp":
		t.kind, t.text = text, n.Value
	case "!!bool":
		t.kind, t.text = boolean, strings.ToLower(n.Value)
		if t.text != "true" && t.text != "false" {
			return nil, syntaxAt(t.at, fmt.Sprintf("%q is neither true nor false", n.Value))
		}
	case "!!int", "!!float":
		t.kind, t.text = number, n.Value
		if !isJSONNumber(n.Value) {
			var v any
			if err := n.Decode(&v); err != nil {
				return nil, syntaxAt(t.at, fmt.Sprintf("%q is not a number", n.Value))
			}
			literal, err := json.Marshal(v)
			if err != nil || !isJSONNumber(string(literal)) { // infinite, or not a number
				return nil, syntaxAt(t.at, fmt.Sprintf("%q is not a number that JSON has", n.Value))
			}
			t.text = string(literal)
		}
	default:
		return nil, syntaxAt(t.at, fmt.Sprintf("tags like %s mean nothing in a map", tag))
	}
	return t, nil
}
