package derpmap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// What a Change is.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Change is one difference between two maps: of a region, of a node, or of one
// field of either or of the map itself.
type Change struct {
	What   string          `json:"what"`             // Added, Removed or Changed
	Region int             `json:"region,omitempty"` // 0: the map itself
	Node   string          `json:"node,omitempty"`   // its name; empty: the region itself
	Field  string          `json:"field,omitempty"`  // empty: all of it was added or removed
	Old    json.RawMessage `json:"old,omitempty"`    // what the field was; nil: it was not there, and so had its default
	New    json.RawMessage `json:"new,omitempty"`    // what the field is; nil: it is not there
}

// String is the change in one line.
func (c Change) String() string {
	line := c.What
	if c.Region != 0 {
		line += fmt.Sprintf(" region %d", c.Region)
	}
	if c.Node != "" {
		line += " node " + c.Node
	}
	if c.Field == "" {
		return line
	}
	line += " " + c.Field
	switch {
	case c.Old == nil:
		return fmt.Sprintf("%s: %s", line, c.New)
	case c.New == nil:
		return fmt.Sprintf("%s: was %s", line, c.Old)
	}
	return fmt.Sprintf("%s: %s -> %s", line, c.Old, c.New)
}

// Diff returns what is different in b, in the order of the map: its own fields,
// then by region ID. Nodes are the same if their names are. If those that both have
// stand in another order, the field Nodes changed from the old names to the new
// ones. It fails where [Map.Encode] does.
func Diff(a, b *Map) ([]Change, error) {
	before, err := a.tree()
	if err != nil {
		return nil, fmt.Errorf("first DERP map: %w", err)
	}
	after, err := b.tree()
	if err != nil {
		return nil, fmt.Errorf("second DERP map: %w", err)
	}
	changes := diffFields(Change{}, before, after, "Regions")
	old, new := regionTrees(before), regionTrees(after)
	was, is := old.byName(), new.byName()
	for _, id := range unite(old, new, byID) {
		changes = append(changes, diffRegion(id, was[id], is[id])...)
	}
	return changes, nil
}

// elements are the regions of a map or the nodes of a region, by what tells them
// apart.
type elements []member

func (e elements) byName() map[string]*tree {
	byName := make(map[string]*tree, len(e))
	for _, m := range e {
		byName[m.name] = m.value
	}
	return byName
}

func regionTrees(t *tree) elements {
	regions := t.members[t.find("Regions")].value
	return slices.DeleteFunc(slices.Clone(regions.members), func(m member) bool { return m.value.kind == null })
}

func byID(a, b string) int {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x - y
}

// unite returns the names of a and those of b that a has not, in the order of
// compare if there is one.
func unite(a, b elements, compare func(a, b string) int) []string {
	var names []string
	have := make(map[string]bool)
	for _, m := range slices.Concat(a, b) {
		if !have[m.name] {
			have[m.name] = true
			names = append(names, m.name)
		}
	}
	if compare != nil {
		slices.SortFunc(names, compare)
	}
	return names
}

func diffRegion(id string, old, new *tree) []Change {
	n, _ := strconv.Atoi(id)
	if old == nil || new == nil {
		return []Change{{What: addedOrRemoved(old), Region: n}}
	}
	changes := diffFields(Change{Region: n}, old, new, "Nodes")
	before, after := nodeTrees(old), nodeTrees(new)
	was, is := before.byName(), after.byName()
	if !slices.Equal(namesIn(before, is), namesIn(after, was)) {
		changes = append(changes, Change{What: Changed, Region: n, Field: "Nodes", Old: quoted(before), New: quoted(after)})
	}
	for _, name := range unite(before, after, nil) {
		if was[name] == nil || is[name] == nil {
			changes = append(changes, Change{What: addedOrRemoved(was[name]), Region: n, Node: name})
			continue
		}
		changes = append(changes, diffFields(Change{Region: n, Node: name}, was[name], is[name], "")...)
	}
	return changes
}

func addedOrRemoved(old *tree) string {
	if old == nil {
		return Added
	}
	return Removed
}

// nodeTrees names the nodes of a region. Of several with one name, which Lint
// refuses, the later ones get a number.
func nodeTrees(region *tree) elements {
	var nodes elements
	times := make(map[string]int)
	for _, t := range region.members[region.find("Nodes")].value.items {
		name := t.members[t.find("Name")].value.text
		if times[name]++; times[name] > 1 || name == "" {
			name = fmt.Sprintf("%s#%d", name, times[name])
		}
		nodes = append(nodes, member{name: name, value: t})
	}
	return nodes
}

// namesIn returns the names of those nodes that the other region has too, in order.
func namesIn(nodes elements, other map[string]*tree) []string {
	var names []string
	for _, m := range nodes {
		if other[m.name] != nil {
			names = append(names, m.name)
		}
	}
	return names
}

func quoted(nodes elements) json.RawMessage {
	t := &tree{kind: list}
	for _, m := range nodes {
		t.items = append(t.items, textTree(m.name))
	}
	return t.appendJSON(nil)
}

// diffFields compares two objects field by field, but for one. like says of what
// they are.
func diffFields(like Change, old, new *tree, but string) []Change {
	var changes []Change
	was, is := elements(old.members).byName(), elements(new.members).byName()
	for _, name := range unite(old.members, new.members, nil) {
		if name == but {
			continue
		}
		c := like
		c.What, c.Field = Changed, name
		if t := was[name]; t != nil {
			c.Old = t.appendJSON(nil)
		}
		if t := is[name]; t != nil {
			c.New = t.appendJSON(nil)
		}
		if !bytes.Equal(c.Old, c.New) {
			changes = append(changes, c)
		}
	}
	return changes
}
