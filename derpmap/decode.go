package derpmap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/text"
)

// The fields of each level, as JSON has them.
var (
	mapFields    = []string{"HomeParams", "Regions", "omitDefaultRegions"}
	homeFields   = []string{"RegionScore"}
	regionFields = []string{"RegionID", "RegionCode", "RegionName", "Latitude", "Longitude", "Avoid", "NoMeasureNoHome", "Nodes"}
	nodeFields   = []string{
		"Name", "RegionID", "HostName", "CertName", "IPv4", "IPv6", "STUNPort", "STUNOnly", "DERPPort", "InsecureForTests",
		"STUNTestIP", "CanPort80",
	}
)

// decoder turns a tree into a Map, and notes where everything stands and what is
// wrong with the shape.
type decoder struct {
	form   Form
	source []byte // as UTF-8
	isJSON bool   // the form is YAML, but the text is JSON

	result   *Map
	places   map[string]place // of each path
	bad      map[string]bool  // paths whose value could not be read
	findings []Finding        // maxFindings at most
	broken   *Finding         // the first one with which there is no Map

	// Names of fields that are spelt in a way of their own, and how many of several
	// words are in lower case throughout: one finding says what holds for the whole
	// text.
	unlike    map[convention][]spelling
	lowerCase int
}

// maxFindings bounds what is said of one text. Nobody reads on after that many.
const maxFindings = 1000

func (d *decoder) decode(root *tree) {
	if i := root.find("derpMap"); i >= 0 && root.find("Regions") < 0 { // a policy file
		if d.form == YAML && !d.isJSON {
			m := root.members[i]
			d.found(Error, "wrapper", m.name, m.at, fmt.Sprintf("Headscale reads nothing of what stands under %s", m.name),
				"take the line out, and move what is below it to the left")
		}
		root = root.members[i].value
	}
	d.result = new(Map)
	d.places[""] = root.at
	if !d.isMap(root) {
		return
	}
	m := d.result
	m.Extra = d.object("", root, mapFields, func(name, path string, value *tree) {
		switch name {
		case "HomeParams":
			m.HomeParams = d.home(path, value)
		case "Regions":
			m.Regions = d.regions(path, value)
		case "omitDefaultRegions":
			m.OmitDefaultRegions = d.boolean(path, value)
		}
	})
}

// isMap tells whether a text could be a map, and refuses what is known for something
// else.
func (d *decoder) isMap(root *tree) bool {
	switch {
	case root.kind == list && len(root.items) > 0 && root.items[0].find("HostName") >= 0:
		d.refuse("", root, "not-a-map", "this is a list of nodes, not a map", "put it into the Nodes of a region, and that into Regions")
		return false
	case root.kind == list:
		d.refuse("", root, "type", "a map is an object with the field Regions, not a list", listRemedy(d.form))
		return false
	case root.kind != object:
		d.refuseScalar(root)
		return false
	case root.find("Regions") < 0 && root.find("HomeParams") < 0:
		if what, remedy := foreignObject(root, d.form); what != "" {
			d.refuse("", root, "not-a-map", what, remedy)
			return false
		}
	}
	return true
}

// refuseScalar refuses what YAML takes for one long text, as it takes many files.
func (d *decoder) refuseScalar(root *tree) {
	if d.form == YAML && root.kind == str {
		if f, ok := brokenJSON(d.source); ok {
			d.refuse("", &tree{at: place{f.Line, f.Column}}, f.Code, f.Message, f.Remedy)
			return
		}
	}
	if what, remedy := foreignText(d.source); what != "" {
		d.refuse("", &tree{at: place{1, 1}}, "not-a-map", what+", not a map", remedy)
		return
	}
	d.refuse("", root, "type", "a map is an object with the field Regions, not "+root.kind.String(), "write an object with the field Regions")
}

func (d *decoder) home(path string, t *tree) *HomeParams {
	if !d.is(path, t, object) {
		return nil
	}
	h := new(HomeParams)
	h.Extra = d.object(path, t, homeFields, func(_, path string, value *tree) {
		if !d.is(path, value, object) {
			return
		}
		h.RegionScore = make(map[int]float64, len(value.members))
		d.byRegion(path, value, func(id int, path string, value *tree) { h.RegionScore[id] = d.float(path, value) })
	})
	return h
}

func (d *decoder) regions(path string, t *tree) map[int]*Region {
	if !d.is(path, t, object) {
		return nil
	}
	regions := make(map[int]*Region, len(t.members))
	d.byRegion(path, t, func(id int, path string, value *tree) { regions[id] = d.region(path, value) })
	return regions
}

func (d *decoder) region(path string, t *tree) *Region {
	if !d.is(path, t, object) {
		return nil
	}
	r := new(Region)
	r.Extra = d.object(path, t, regionFields, func(name, path string, value *tree) {
		switch name {
		case "RegionID":
			r.RegionID = d.int(path, value)
		case "RegionCode":
			r.RegionCode = d.string(path, value)
		case "RegionName":
			r.RegionName = d.string(path, value)
		case "Latitude":
			r.Latitude = d.float(path, value)
		case "Longitude":
			r.Longitude = d.float(path, value)
		case "Avoid":
			r.Avoid = d.boolean(path, value)
		case "NoMeasureNoHome":
			r.NoMeasureNoHome = d.boolean(path, value)
		case "Nodes":
			r.Nodes = d.nodes(path, value)
		}
	})
	return r
}

func (d *decoder) nodes(path string, t *tree) []*Node {
	if !d.is(path, t, list) {
		return nil
	}
	nodes := make([]*Node, 0, len(t.items))
	for i, item := range t.items {
		nodes = append(nodes, d.node(path+"["+strconv.Itoa(i)+"]", item))
	}
	return nodes
}

func (d *decoder) node(path string, t *tree) *Node {
	d.places[path] = t.at
	n := new(Node)
	if t.kind != object {
		d.refuse(path, t, "type", "a node is an object, not "+t.kind.String(), d.nodeRemedy(t))
		return n
	}
	n.Extra = d.object(path, t, nodeFields, func(name, path string, value *tree) {
		switch name {
		case "Name":
			n.Name = d.string(path, value)
		case "RegionID":
			n.RegionID = d.int(path, value)
		case "HostName":
			n.HostName = d.string(path, value)
		case "CertName":
			n.CertName = d.string(path, value)
		case "IPv4":
			n.IPv4 = d.string(path, value)
		case "IPv6":
			n.IPv6 = d.string(path, value)
		case "STUNPort":
			n.STUNPort = d.int(path, value)
		case "STUNOnly":
			n.STUNOnly = d.boolean(path, value)
		case "DERPPort":
			n.DERPPort = d.int(path, value)
		case "InsecureForTests":
			n.InsecureForTests = d.boolean(path, value)
		case "STUNTestIP":
			n.STUNTestIP = d.string(path, value)
		case "CanPort80":
			n.CanPort80 = d.boolean(path, value)
		}
	})
	return n
}

// object calls set for each member that is one of the fields, and returns the others.
func (d *decoder) object(path string, t *tree, fields []string, set func(name, path string, value *tree)) Extra {
	var extra Extra
	seen := make(map[string]place)
	for _, m := range t.members {
		name, known := m.name, false
		if i := slices.IndexFunc(fields, func(field string) bool { return strings.EqualFold(field, m.name) }); i >= 0 {
			name, known = fields[i], true
		}
		below := join(path, name)
		d.hides(below, m, seen, name)
		d.places[below] = m.value.at
		if known {
			d.spelling(below, m, name)
			set(name, below, m.value)
			continue
		}
		d.unknown(path, below, m, fields)
		if extra == nil {
			extra = make(Extra)
		}
		extra[name] = m.value.appendJSON(nil)
	}
	return extra
}

// byRegion calls set for each member of an object whose keys are region IDs.
func (d *decoder) byRegion(path string, t *tree, set func(id int, path string, value *tree)) {
	seen := make(map[string]place)
	for _, m := range t.members {
		below := join(path, m.name)
		d.hides(below, m, seen, m.name)
		d.places[below] = m.value.at
		id, err := strconv.Atoi(m.name)
		if err != nil || strconv.Itoa(id) != m.name {
			d.refuse(below, &tree{at: m.at}, "region-key", fmt.Sprintf("the key %q is not a region ID", m.name), keyRemedy(m))
			continue
		}
		if m.quoted && d.form == YAML && !d.isJSON {
			d.found(Error, "region-key-quoted", below, m.at, fmt.Sprintf("Headscale refuses %q: it wants a number here", m.name),
				"take the quotes away: write "+m.name)
		}
		set(id, below, m.value)
	}
}

// hides notes a member with the name of an earlier one, which nobody will see.
func (d *decoder) hides(path string, m member, seen map[string]place, name string) {
	if first, ok := seen[name]; ok {
		d.found(Error, "duplicate-key", path, m.at, fmt.Sprintf("%q is here a second time and hides the one at %v", m.name, first),
			"keep one of the two")
	}
	seen[name] = m.at
}

// is tells whether the value is of that kind. Null is not, but nothing to complain
// of: it stands for nothing.
func (d *decoder) is(path string, t *tree, want kind) bool {
	if t.kind != want && t.kind != null {
		d.refuse(path, t, "type", fmt.Sprintf("here stands %v, but it must be %v", t.kind, want), d.typeRemedy(path, t, want))
	}
	return t.kind == want
}

func (d *decoder) string(path string, t *tree) string {
	if t.plain != "" && (t.kind == number || t.kind == boolean) {
		return t.plain
	}
	if d.is(path, t, str) {
		d.strays(path, t)
	}
	return t.text
}

// strays names what an editor put into a text that programs compare.
func (d *decoder) strays(path string, t *tree) {
	if strings.HasSuffix(path, ".RegionName") || strings.HasSuffix(path, ".HostName") { // the one is for people, the other has its own judge
		return
	}
	if s, ok := text.FirstStray([]byte(t.text)); ok {
		d.found(Error, "stray-character", path, t.at, fmt.Sprintf("%q has %v in it", t.text, s), s.Remedy())
		d.bad[path] = true
	}
}

func (d *decoder) boolean(path string, t *tree) bool {
	if d.form == YAML && t.kind == str {
		switch strings.ToLower(t.text) { // as in YAML 1.1
		case "y", "yes", "on":
			return true
		case "n", "no", "off":
			return false
		}
	}
	return d.is(path, t, boolean) && t.text == "true"
}

func (d *decoder) int(path string, t *tree) int {
	if !d.is(path, t, number) {
		return 0
	}
	n, err := strconv.Atoi(t.text)
	if err != nil {
		d.refuse(path, t, "type", t.text+" is not an integer, or too large", integerRemedy(t.text))
	}
	return n
}

func (d *decoder) float(path string, t *tree) float64 {
	if !d.is(path, t, number) {
		return 0
	}
	n, err := strconv.ParseFloat(t.text, 64)
	if err != nil {
		d.refuse(path, t, "type", t.text+" is too large", "write a smaller number")
		return 0
	}
	return n
}

// refuse notes something with which there is no Map.
func (d *decoder) refuse(path string, t *tree, code, message, remedy string) {
	f := Finding{
		Severity: Error, Code: code, Line: t.at.line, Column: t.at.column, Path: path, Message: message, Remedy: remedy,
	}
	if d.bad[path] = true; d.broken == nil {
		d.broken = &f
	}
	d.add(f)
}

func (d *decoder) found(severity Severity, code, path string, at place, message, remedy string) {
	d.add(Finding{
		Severity: severity, Code: code, Line: at.line, Column: at.column, Path: path, Message: message, Remedy: remedy,
	})
}

func (d *decoder) add(f Finding) {
	if len(d.findings) < maxFindings {
		d.findings = append(d.findings, f)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
