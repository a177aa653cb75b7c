package derpmap

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/text"
)

// typeRemedy says how to write a value that is of another kind than it must be.
func (d *decoder) typeRemedy(path string, t *tree, want kind) string {
	field := path[strings.LastIndexByte(path, '.')+1:]
	switch {
	case want == list && t.kind == object && d.form == YAML:
		return "write the nodes as a list, with a - before the first line of each"
	case want == list:
		return "write the nodes as a list, with [ and ] around them"
	case field == "Regions" && t.kind == list:
		return listRemedy(d.form)
	case want == object:
		return "write the fields of " + what(path) + " here"
	case want == str && t.kind == list && len(t.items) == 1 && t.items[0].kind == str:
		return "take the list away: write " + t.items[0].text
	case want == str && (t.kind == list || t.kind == object):
		return "write one value here"
	case want == str:
		return "write it in quotes: " + strconv.Quote(t.text)
	case want == boolean && t.kind != object && t.kind != list:
		return "write true or false, without quotes"
	case want == number:
		return numberRemedy(field, t)
	}
	return "write " + want.String()
}

func what(path string) string {
	switch {
	case strings.HasSuffix(path, "HomeParams"), strings.HasSuffix(path, "RegionScore"):
		return "HomeParams"
	case path == "Regions":
		return "Regions: an object for each region, with its ID as the key"
	}
	return "the region: RegionID, RegionCode, RegionName and Nodes"
}

func numberRemedy(field string, t *tree) string {
	meant := strings.ToLower(strings.TrimSpace(t.text))
	stray, isStray := text.FirstStray([]byte(t.text))
	_, err := strconv.Atoi(meant)
	switch {
	case isStray:
		return fmt.Sprintf("take the %s (U+%04X) out", stray.Name, stray.Char)
	case err == nil:
		return "take the quotes away: write " + meant
	case field == "STUNPort" && (meant == "none" || meant == "off" || meant == "no" || meant == "false" || meant == "disabled"):
		return "write -1, which says that the node does not answer STUN"
	case field == "STUNPort" && (meant == "true" || meant == "yes" || meant == "on"):
		return "leave it out for 3478"
	case strings.HasSuffix(field, "Port"):
		return "write the number of the port, without quotes"
	}
	return "write a number, without quotes"
}

// integerRemedy offers the integer that a number is.
func integerRemedy(literal string) string {
	f, err := strconv.ParseFloat(literal, 64)
	if n := int64(f); err == nil && float64(n) == f && n > 0 && n <= 1<<31 {
		return fmt.Sprintf("write %d", n)
	}
	return "write an integer"
}

// nodeRemedy says how to write a node that is no object.
func (d *decoder) nodeRemedy(t *tree) string {
	switch {
	case t.kind == null:
		return "take it out"
	case d.form == YAML:
		return "write its fields below the -: name, regionid and hostname"
	}
	return `write {"Name": ..., "RegionID": ..., "HostName": ...}`
}

// keyRemedy says what to write for a key that is no region ID.
func keyRemedy(m member) string {
	const usual = "write the ID in decimal digits, such as 900"
	if s, ok := text.FirstStray([]byte(m.name)); ok {
		return fmt.Sprintf("%s: it has %v in it", s.Remedy(), s)
	}
	if m.value.kind != object {
		return usual
	}
	if i := m.value.find("RegionID"); i >= 0 && m.value.members[i].value.kind == number {
		return "write the RegionID, which is " + m.value.members[i].value.text
	}
	return usual
}
