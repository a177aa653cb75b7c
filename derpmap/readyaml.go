package derpmap

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/detour-relay/detour/internal/yamldoc"
)

// maxYAMLText bounds the bytes of names and scalars, which aliases multiply. Without
// aliases there are never so many.
const maxYAMLText = 2 * MaxSize

// readYAML reads YAML: one document, with aliases and merge keys, without tags of
// its own.
func readYAML(source []byte) (*tree, error) {
	root, err := yamldoc.Read(source, maxValues)
	if err != nil {
		return nil, explainYAML(source, err)
	}
	r := yamlReader{values: maxValues, bytes: maxYAMLText}
	return r.tree(root, 0)
}

// yamlReader counts down what is left to be read, since an alias may stand in what
// another stands for.
type yamlReader struct{ values, bytes int }

func placeOfYAML(n *yaml.Node) place { return place{n.Line, n.Column} }

func (r *yamlReader) tree(n *yaml.Node, depth int) (*tree, error) {
	at := placeOfYAML(n)
	if depth > maxDepth {
		return nil, syntaxAt(at, fmt.Sprintf("more than %d lists and objects stand in each other", maxDepth))
	}
	r.values--
	r.bytes -= len(n.Value)
	if r.values < 0 || r.bytes < 0 {
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
		r.bytes -= len(name.Value)
		switch {
		case name.Kind != yaml.ScalarNode:
			return nil, finding("syntax", placeOfYAML(name), "a key is not a simple word",
				"put quotes around a value that begins with {, and fill in what stands for another: {{ }} is a template")
		case name.ShortTag() == "!!merge" && value.kind == list:
			merged = append(merged, value.items...)
		case name.ShortTag() == "!!merge":
			merged = append(merged, value)
		default:
			t.members = append(t.members, member{
				name: name.Value, at: placeOfYAML(n.Content[i]), value: value, quoted: name.ShortTag() == "!!str", anchored: n.Content[i+1].Anchor != "",
			})
		}
	}
	return t, mergeInto(t, merged)
}

// mergeInto adds what << brings in. What the object has itself, or an earlier one
// brought in, counts more.
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
		t.kind, t.text = str, n.Value
	case "!!bool":
		t.kind, t.text = boolean, strings.ToLower(n.Value)
		if t.text != "true" && t.text != "false" {
			return nil, syntaxAt(t.at, fmt.Sprintf("%q is neither true nor false", n.Value))
		}
	case "!!int", "!!float":
		t.kind, t.text = number, n.Value
		if !isJSONNumber(n.Value) {
			var err error
			if t.text, err = literalOf(n); err != nil {
				return nil, syntaxAt(t.at, err.Error())
			}
		}
	default:
		return nil, syntaxAt(t.at, fmt.Sprintf("tags like %s mean nothing in a map", tag))
	}
	return t, nil
}

// literalOf returns a number that YAML writes in its own way as JSON has it.
func literalOf(n *yaml.Node) (string, error) {
	var v any
	if err := n.Decode(&v); err != nil {
		return "", fmt.Errorf("%q is not a number", n.Value)
	}
	literal, err := json.Marshal(v)
	if err != nil || !isJSONNumber(string(literal)) { // infinite, or not a number
		return "", fmt.Errorf("%q is not a number that JSON has", n.Value)
	}
	return string(literal), nil
}
