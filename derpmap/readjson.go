package derpmap

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// maxDepth is how many lists and objects may stand in each other. A map needs five.
const maxDepth = 32

// maxValues bounds the values of a map, since a parser needs some hundred bytes for
// each, and a text of nothing but brackets has one for each byte. Seven thousand
// regions have fewer.
const maxValues = 1 << 16

// readJSON reads JSON, with comments and trailing commas if human.
func readJSON(source []byte, human bool) (*tree, error) {
	s := shapeOf(source)
	switch {
	case s.tooDeep >= 0:
		return nil, syntaxAt(placeOf(source, s.tooDeep), fmt.Sprintf("more than %d lists and objects stand in each other", maxDepth))
	case s.values > maxValues:
		return nil, syntaxAt(place{1, 1}, fmt.Sprintf("it has more than %d values", maxValues))
	}
	// A comment on the last line needs the end of it.
	value, err := hujson.Parse(append(slices.Clip(source), '\n'))
	if err != nil {
		return nil, explainJSON(source, s, err)
	}
	if !human && !value.IsStandard() {
		return nil, finding("syntax", placeOf(source, max(0, s.human)), "it has comments or trailing commas, which JSON has not",
			"take them out, or say that it is HuJSON")
	}
	r := jsonReader{source: source, at: place{1, 1}}
	return r.tree(&value), nil
}

// jsonReader turns offsets into places. It is asked for them in ascending order, so
// one pass over the source is enough.
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
	return r.placeAt(min(offset, len(source)))
}

func (r *jsonReader) tree(v *hujson.Value) *tree {
	t := &tree{at: r.placeAt(v.StartOffset)}
	switch value := v.Value.(type) {
	case *hujson.Object:
		t.kind = object
		t.members = make([]member, 0, len(value.Members))
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
			t.kind, t.text = str, value.String()
		case '0':
			t.kind, t.text = number, string(value)
		case 't', 'f':
			t.kind, t.text = boolean, string(value)
		}
	}
	return t
}
