package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/detour-relay/detour/internal/text"
)

// setting reads the value of one setting.
func (r *fileReader) setting(s Setting, n *yaml.Node) {
	at := placeOf(n)
	r.loaded.origins[s.Path] = r.origin(at)
	n = r.resolve(n)
	if n == nil {
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		r.refuse(at, s.Path, s.Path+" has no value", "write one behind the colon, or take the line out")
		return
	}
	switch s.Kind {
	case KindList:
		r.list(s, n)
	case KindMap, KindLimits:
		r.pairs(s, n)
	default:
		if value, ok := r.scalar(s, n, ""); ok {
			r.set(s, at, value)
		}
	}
}

// set has the setting read its value, and says at this place what it thinks of it.
func (r *fileReader) set(s Setting, at place, value string) {
	if e := s.set(&r.loaded.Config, value); e != nil {
		r.loaded.Problems = append(r.loaded.Problems, newProblem(r.origin(at), s.Path, e.Text(r.loaded.Spell)))
	}
}

// scalar returns the text of a value. What YAML reads in another way than people is
// refused. Within says which of several values it is.
func (r *fileReader) scalar(s Setting, n *yaml.Node, within string) (string, bool) {
	at, name := placeOf(n), s.Path+within
	switch {
	case n.Kind == yaml.SequenceNode:
		r.refuse(at, s.Path, name+" is one value, and here stands a list", "write the one value behind the colon")
		return "", false
	case n.Kind == yaml.MappingNode:
		r.refuse(at, s.Path, name+" is one value, and here stands something with keys beneath it", remedyOfKeys(n))
		return "", false
	case n.Style&yaml.TaggedStyle != 0:
		r.refuse(at, s.Path, name+" has the tag "+n.ShortTag(), "take it out: tags mean nothing here")
		return "", false
	}
	if remedy := s.misread(n); remedy != "" {
		r.refuse(at, s.Path, fmt.Sprintf("%s %q", name, s.mask(n.Value)), remedy)
		return "", false
	}
	return n.Value, true
}

// misread is what to do about a value that YAML reads in another way than people; empty:
// it does not.
func (s Setting) misread(n *yaml.Node) string {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	isBool := n.ShortTag() == "!!bool"
	switch {
	case strings.Contains(strings.TrimRight(n.Value, "\n"), "\n"):
		return "write it in one line"
	case s.Kind == KindBool && quoted && (n.Value == "true" || n.Value == "false"):
		return "take the quotes away"
	case s.Kind == KindBool && !isBool:
		return remedyOfBool(n.Value)
	case s.Kind == KindInt || s.Kind == KindFloat:
		if quoted {
			return "take the quotes away"
		}
		if looksOctal(n.Value) || strings.ContainsAny(n.Value, "_xXo") {
			return remedyOfDigits(n.Value)
		}
	case isBool && s.Kind != KindBool:
		return s.remedyOfWord(n.Value)
	}
	return ""
}

// remedyOfKeys is about {{ }} of a template, which YAML takes for keys.
func remedyOfKeys(n *yaml.Node) string {
	if n.Style&yaml.FlowStyle != 0 {
		return "put quotes around a value that begins with {, and fill in what stands for another: {{ }} is a template"
	}
	return "write the value behind the colon"
}

func remedyOfBool(value string) string {
	switch strings.ToLower(value) {
	case "yes", "on", "y", "true", "1":
		return "write true"
	case "no", "off", "n", "false", "0":
		return "write false"
	}
	return "choose true or false"
}

// remedyOfDigits is about numbers that some read to another base than others.
func remedyOfDigits(value string) string {
	if digits := strings.ReplaceAll(strings.TrimLeft(value, "0"), "_", ""); digits != "" && strings.Trim(digits, "0123456789") == "" {
		return "write " + digits + ", in plain digits"
	}
	return "write it in plain digits"
}

// remedyOfWord is for true and false where a word is wanted, which may be one that
// stands for them.
func (s Setting) remedyOfWord(value string) string {
	if strings.EqualFold(value, "false") && slices.Contains(s.Choices, "off") {
		return "write off"
	}
	if len(s.Choices) > 0 {
		return "choose " + strings.Join(s.Choices, ", ")
	}
	return "put quotes around it if it is meant"
}

// list reads a list. One value alone is one with it.
func (r *fileReader) list(s Setting, n *yaml.Node) {
	var all []string
	switch n.Kind {
	case yaml.MappingNode:
		r.refuse(placeOf(n), s.Path, s.Path+" is a list, and here stands something with keys beneath it", `write "- " before each value`)
		return
	case yaml.ScalarNode:
		if value, ok := r.item(s, n, 0); ok {
			all = append(all, value)
		}
	default:
		for i, item := range n.Content {
			if item = r.resolve(item); item == nil {
				return
			}
			if value, ok := r.item(s, item, i+1); ok {
				all = append(all, value)
			}
		}
	}
	s.value(&r.loaded.Config).Set(reflect.ValueOf(all))
}

// item reads one value of a list. A comma would be taken for the end of one wherever
// lists are written in one line.
func (r *fileReader) item(s Setting, n *yaml.Node, number int) (string, bool) {
	within := ""
	if number > 0 {
		within = fmt.Sprintf(", value %d,", number)
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" || n.Kind == yaml.ScalarNode && strings.TrimSpace(n.Value) == "" {
		r.refuse(placeOf(n), s.Path, s.Path+within+" is empty", "take it out")
		return "", false
	}
	value, ok := r.scalar(s, n, within)
	if ok && strings.Contains(value, ",") {
		r.refuse(placeOf(n), s.Path, fmt.Sprintf("%s%s %q has a comma", s.Path, within, s.mask(value)), `write each value in a line of its own, behind "- "`)
		return "", false
	}
	return strings.TrimSpace(value), ok
}

// pairs reads a map.
func (r *fileReader) pairs(s Setting, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.refuse(placeOf(n), s.Path, s.Path+" has names with their values, and here stands "+kindOf(n), `write name: value beneath it, one in a line`)
		return
	}
	field := s.value(&r.loaded.Config)
	field.Set(reflect.MakeMap(field.Type()))
	keys := make(map[string]place)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, at := n.Content[i], placeOf(n.Content[i+1])
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			r.refuse(placeOf(key), s.Path, s.Path+" has a key that is not a simple word", "write it out")
			continue
		}
		if before, twice := keys[key.Value]; twice {
			r.refuse(placeOf(key), s.Path, fmt.Sprintf("%s, %s stands in line %d already", s.Path, key.Value, before.line), "keep one of them")
			continue
		}
		keys[key.Value] = placeOf(key)
		r.pair(s, field, key.Value, n.Content[i+1], at)
	}
}

func (r *fileReader) pair(s Setting, field reflect.Value, name string, n *yaml.Node, at place) {
	if n = r.resolve(n); n == nil {
		return
	}
	value := ""
	switch {
	case s.Kind == KindLimits && n.Kind == yaml.MappingNode:
		value = r.limit(s, name, n)
	default:
		var ok bool
		if value, ok = r.scalar(s, n, ", "+name+","); !ok {
			return
		}
	}
	if strings.TrimSpace(value) == "" || strings.ContainsAny(name, ",=") || strings.TrimSpace(name) != name || name == "" || s.Kind == KindMap && strings.Contains(value, ",") {
		r.refuse(at, s.Path, fmt.Sprintf("%s, %q is %q", s.Path, name, text.RedactURL(value)), "want a name without commas and =, and a value")
		return
	}
	if e := s.add(field, name, strings.TrimSpace(value)); e != nil {
		r.loaded.Problems = append(r.loaded.Problems, newProblem(r.origin(at), s.Path, e.Text(r.loaded.Spell)))
	}
}

// limit reads the limits of a label that are written one beneath the other.
func (r *fileReader) limit(s Setting, label string, n *yaml.Node) string {
	var words []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		value := r.resolve(n.Content[i+1])
		if value == nil {
			return ""
		}
		if !slices.Contains(limitWords, key.Value) {
			r.refuse(placeOf(key), s.Path, fmt.Sprintf("%s, %s has no %q", s.Path, label, key.Value), "write in, out or burst")
			continue
		}
		if text, ok := r.scalar(s, value, ", "+label+","); ok {
			words = append(words, key.Value+"="+strings.ReplaceAll(text, " ", ""))
		}
	}
	return strings.Join(words, " ")
}
