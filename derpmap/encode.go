package derpmap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
	"go.yaml.in/yaml/v3"
)

// Encode writes the map, so that Load gives the same again. The order is that of
// the specification, regions by ID, extra fields by name. It fails only if Extra
// has what no map can have or is nested too deeply, if a number is infinite, or a
// node nil.
func (m *Map) Encode(form Form) ([]byte, error) {
	t, err := m.tree()
	if err != nil {
		return nil, fmt.Errorf("DERP map: %w", err)
	}
	if form == HuJSON {
		policy := &tree{kind: object}
		policy.add("derpMap", t)
		t = policy
	}
	if t.depth() > maxDepth {
		return nil, fmt.Errorf("DERP map: extra fields: more than %d lists and objects would stand in each other", maxDepth)
	}
	switch form {
	case JSON:
		var out bytes.Buffer
		if err := json.Indent(&out, t.appendJSON(nil), "", "  "); err != nil {
			return nil, fmt.Errorf("DERP map: %w", err)
		}
		out.WriteByte('\n')
		return out.Bytes(), nil
	case HuJSON:
		return hujson.Format(t.appendJSON(nil))
	case YAML:
		var out bytes.Buffer
		encoder := yaml.NewEncoder(&out)
		encoder.SetIndent(2)
		if err := encoder.Encode(yamlNode(t)); err != nil {
			return nil, fmt.Errorf("DERP map: %w", err)
		}
		return out.Bytes(), nil
	}
	return nil, fmt.Errorf("DERP map: no such form: %s", form)
}

// MarshalJSON writes the map as compact JSON.
func (m Map) MarshalJSON() ([]byte, error) {
	t, err := m.tree()
	if err != nil {
		return nil, fmt.Errorf("DERP map: %w", err)
	}
	return t.appendJSON(nil), nil
}

func (m *Map) tree() (*tree, error) {
	var e encoder
	t := &tree{kind: object}
	if m.HomeParams != nil {
		t.add("HomeParams", e.home(m.HomeParams))
	}
	regions := &tree{} // null
	if m.Regions != nil {
		regions.kind = object
		for _, id := range slices.Sorted(maps.Keys(m.Regions)) {
			regions.members = append(regions.members, member{name: strconv.Itoa(id), value: e.region(m.Regions[id])})
		}
	}
	t.add("Regions", regions)
	addTrue(t, "omitDefaultRegions", m.OmitDefaultRegions)
	e.extra(t, m.Extra, mapFields)
	return t, e.err
}

// encoder turns what a map is made of into trees. err is the first thing that
// cannot be written.
type encoder struct{ err error }

func (e *encoder) home(h *HomeParams) *tree {
	t := &tree{kind: object}
	if h.RegionScore != nil {
		scores := &tree{kind: object}
		for _, id := range slices.Sorted(maps.Keys(h.RegionScore)) {
			scores.members = append(scores.members, member{name: strconv.Itoa(id), value: e.float(h.RegionScore[id])})
		}
		t.add("RegionScore", scores)
	}
	e.extra(t, h.Extra, homeFields)
	return t
}

func (e *encoder) region(r *Region) *tree {
	if r == nil {
		return &tree{}
	}
	t := &tree{kind: object}
	t.add("RegionID", intTree(r.RegionID))
	t.add("RegionCode", textTree(r.RegionCode))
	t.add("RegionName", textTree(r.RegionName))
	if r.Latitude != 0 {
		t.add("Latitude", e.float(r.Latitude))
	}
	if r.Longitude != 0 {
		t.add("Longitude", e.float(r.Longitude))
	}
	addTrue(t, "Avoid", r.Avoid)
	addTrue(t, "NoMeasureNoHome", r.NoMeasureNoHome)
	nodes := &tree{} // null
	if r.Nodes != nil {
		nodes.kind = list
		for _, n := range r.Nodes {
			nodes.items = append(nodes.items, e.node(n))
		}
	}
	t.add("Nodes", nodes)
	e.extra(t, r.Extra, regionFields)
	return t
}

func (e *encoder) node(n *Node) *tree {
	if n == nil {
		e.fail(errors.New("a node is nil"))
		return &tree{}
	}
	t := &tree{kind: object}
	t.add("Name", textTree(n.Name))
	t.add("RegionID", intTree(n.RegionID))
	t.add("HostName", textTree(n.HostName))
	addText(t, "CertName", n.CertName)
	addText(t, "IPv4", n.IPv4)
	addText(t, "IPv6", n.IPv6)
	addInt(t, "STUNPort", n.STUNPort)
	addTrue(t, "STUNOnly", n.STUNOnly)
	addInt(t, "DERPPort", n.DERPPort)
	addTrue(t, "InsecureForTests", n.InsecureForTests)
	addText(t, "STUNTestIP", n.STUNTestIP)
	addTrue(t, "CanPort80", n.CanPort80)
	e.extra(t, n.Extra, nodeFields)
	return t
}

func (e *encoder) extra(t *tree, extra Extra, fields []string) {
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if slices.ContainsFunc(fields, func(field string) bool { return strings.EqualFold(field, name) }) {
			e.fail(fmt.Errorf("extra field %q: this is no extra field", name))
			continue
		}
		value, err := readJSON(extra[name], false)
		if err != nil {
			e.fail(fmt.Errorf("extra field %q: %w", name, err))
			continue
		}
		t.members = append(t.members, member{name: name, value: value})
	}
}

func (e *encoder) float(f float64) *tree {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		e.fail(fmt.Errorf("%v is not a number that JSON has", f))
		return &tree{}
	}
	literal, _ := json.Marshal(f)
	return numberTree(string(literal))
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func intTree(n int) *tree { return numberTree(strconv.Itoa(n)) }

func addText(t *tree, name, value string) {
	if value != "" {
		t.add(name, textTree(value))
	}
}

func addInt(t *tree, name string, value int) {
	if value != 0 {
		t.add(name, intTree(value))
	}
}

func addTrue(t *tree, name string, value bool) {
	if value {
		t.add(name, &tree{kind: boolean, text: "true"})
	}
}

func yamlNode(t *tree) *yaml.Node {
	switch t.kind {
	case null:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	case boolean:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: t.text}
	case number:
		if strings.ContainsAny(t.text, ".eE") {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: t.text}
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: t.text}
	case str:
		return yamlText(t.text)
	case list:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, item := range t.items {
			n.Content = append(n.Content, yamlNode(item))
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, m := range t.members {
		name := yamlText(m.name)
		if m.known {
			name = yamlText(strings.ToLower(m.name))
		} else if id, err := strconv.Atoi(m.name); err == nil && strconv.Itoa(id) == m.name {
			name = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: m.name}
		}
		n.Content = append(n.Content, name, yamlNode(m.value))
	}
	return n
}

// oldBoolean is what readers of YAML 1.1 take for true or false.
var oldBoolean = regexp.MustCompile(`^(?i:y|yes|n|no|on|off)$`)

// yamlText is a string, in quotes unless it is clear without.
func yamlText(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if oldBoolean.MatchString(s) {
		n.Style = yaml.DoubleQuotedStyle
	}
	for _, c := range s {
		if c < ' ' || c > '~' {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	return n
}
