package derpmap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/text"
)

// convention is a way to spell the names of fields that is not that of the form.
type convention string

const (
	otherCase  convention = "case"       // hostName
	separators convention = "separators" // host_name
)

// spelling is a name that is spelt in such a way.
type spelling struct {
	path, wrote, want string
	at                place
}

// throughout is how many names of one convention are told in one finding, and not one
// by one.
const throughout = 3

// spelling looks at the case of a field that is known.
func (d *decoder) spelling(path string, m member, name string) {
	want := d.spelled(name)
	switch {
	case m.name == want:
		if severalWords(name) {
			d.lowerCase++
		}
	case d.isJSON, d.form != YAML && m.name == "OmitDefaultRegions": // as Tailscale's documentation has it
	default:
		d.note(otherCase, spelling{path, m.name, want, m.at})
	}
}

// severalWords tells whether camel case would spell the name in another way than in
// lower case.
func severalWords(name string) bool { return strings.ToLower(name[1:]) != name[1:] }

func (d *decoder) note(c convention, s spelling) {
	if len(d.unlike[c]) < maxFindings {
		d.unlike[c] = append(d.unlike[c], s)
	}
}

// unknown looks at a field that is not one. path is of the object that it is in,
// below its own.
func (d *decoder) unknown(path, below string, m member, fields []string) {
	if len(d.findings) == maxFindings {
		return // nearest is dear
	}
	if s, ok := text.FirstStray([]byte(m.name)); ok {
		d.found(Error, "stray-character", below, m.at, fmt.Sprintf("the name has %v in it", s), s.Remedy())
		return
	}
	if field := withoutSeparators(m.name, fields); field != "" {
		d.note(separators, spelling{below, m.name, d.spelled(field), m.at})
		d.bad[join(path, field)] = true // what follows from its absence needs no word
		return
	}
	if m.anchored {
		return // it stands there for what takes it over with * or <<
	}
	d.found(Warning, "unknown-field", below, m.at, fmt.Sprintf("there is no field %q", m.name), d.remedyUnknown(m, fields))
}

// withoutSeparators returns the field that a name is but for what separates its
// words.
func withoutSeparators(name string, fields []string) string {
	bare := strings.NewReplacer("_", "", "-", "", " ", "").Replace(name)
	i := slices.IndexFunc(fields, func(field string) bool { return strings.EqualFold(field, bare) })
	if i < 0 {
		return ""
	}
	return fields[i]
}

func (d *decoder) remedyUnknown(m member, fields []string) string {
	if remedy := d.otherWord(m, fields); remedy != "" {
		return remedy
	}
	if near := text.Nearest(m.name, fields); near != "" {
		return "did you mean " + d.spelled(near) + "?"
	}
	if near, of := elsewhere(m.name); near != "" {
		return fmt.Sprintf("%s is a field of %s", d.spelled(near), of)
	}
	return "take it out, unless something else reads it"
}

// otherWords are what people call fields.
var otherWords = map[string]string{
	"host": "HostName", "domain": "HostName", "fqdn": "HostName", "dns": "HostName", "server": "HostName", "url": "HostName",
	"port": "DERPPort", "tlsport": "DERPPort", "httpsport": "DERPPort", "derp": "DERPPort",
	"insecure": "InsecureForTests", "insecureskipverify": "InsecureForTests", "skipverify": "InsecureForTests",
	"tlsinsecure": "InsecureForTests", "insecuretls": "InsecureForTests",
	"cert": "CertName", "certificate": "CertName", "fingerprint": "CertName", "pin": "CertName", "sha256": "CertName",
	"ip": "IPv4", "ip4": "IPv4", "v4": "IPv4", "addr": "IPv4", "address": "IPv4", "ip6": "IPv6", "v6": "IPv6",
	"id": "RegionID", "region": "RegionID", "code": "RegionCode", "name": "RegionName", "title": "RegionName",
	"lat": "Latitude", "lon": "Longitude", "lng": "Longitude", "long": "Longitude",
	"servers": "Nodes", "relays": "Nodes", "derpnodes": "Nodes", "hosts": "Nodes",
	"omit": "omitDefaultRegions", "omitdefault": "omitDefaultRegions", "omitregions": "omitDefaultRegions",
	"derpregions": "Regions",
}

// otherWord knows what people call fields, and what they mean by switches that a map
// has not.
func (d *decoder) otherWord(m member, fields []string) string {
	name := strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(m.name))
	switch {
	case name == "stun" && m.value.kind == number:
		return fmt.Sprintf("write %s: %s", d.quotedName("STUNPort"), m.value.text)
	case name == "stun" && switchOf(m.value) == "false", name == "nostun", name == "disablestun":
		return fmt.Sprintf("write %s: -1, which says that the node does not answer STUN", d.quotedName("STUNPort"))
	case name == "stun":
		return fmt.Sprintf("take it out: a node answers STUN unless %s is -1", d.spelled("STUNPort"))
	case name == "derp" && switchOf(m.value) == "false":
		return fmt.Sprintf("write %s: true, which says that the node does not relay", d.quotedName("STUNOnly"))
	case name == "enabled" || name == "disabled":
		return "take out what shall not be used; null in place of a region removes it"
	}
	word, ok := otherWords[name]
	if !ok || !slices.Contains(fields, word) {
		return ""
	}
	if word == "IPv4" && m.value.kind == str && strings.Contains(m.value.text, ":") {
		word = "IPv6"
	}
	return "write " + d.spelled(word)
}

// switchOf is "true" or "false" if the value means that in any form, else "".
func switchOf(t *tree) string {
	switch strings.ToLower(t.text) {
	case "true", "yes", "on", "y":
		return "true"
	case "false", "no", "off", "n", "none", "disabled":
		return "false"
	}
	return ""
}

func (d *decoder) quotedName(field string) string {
	if d.form == YAML {
		return d.spelled(field)
	}
	return strconv.Quote(field)
}

// spelled returns the name of a field as the form of the text has it.
func (d *decoder) spelled(field string) string {
	if d.form == YAML && !d.isJSON {
		return strings.ToLower(field)
	}
	return field
}

// elsewhere looks for a field on the other levels, and says whose it is.
func elsewhere(name string) (field, of string) {
	for _, level := range []struct {
		of     string
		fields []string
	}{{"a node", nodeFields}, {"a region", regionFields}, {"HomeParams", homeFields}, {"the map", mapFields}} {
		if near := text.Nearest(name, level.fields); near != "" {
			return near, level.of
		}
	}
	return "", ""
}

// conventions says what holds for the names of the whole text in one finding, and
// what is a slip one by one.
func (d *decoder) conventions() {
	if d.isJSON {
		d.found(Error, "json-in-yaml", "", d.places[""], "this is JSON, of which Headscale reads nothing: its YAML has names in lower case and numbers as keys",
			"name it .json, or convert it to YAML (detour map convert)")
	}
	cases := d.unlike[otherCase]
	switch {
	case d.form == YAML && len(cases) >= throughout && d.lowerCase == 0:
		d.found(Error, "field-case", cases[0].path, cases[0].at,
			"Headscale ignores names that are not in lower case: "+listed(cases), "write all names in lower case, or convert the map (detour map convert)")
	case d.form == YAML:
		for _, s := range cases {
			d.found(Error, "field-case", s.path, s.at, fmt.Sprintf("Headscale ignores %s: in YAML it wants lower case", s.wrote), "write "+s.want)
		}
	case len(cases) > 1:
		d.found(Warning, "field-case", cases[0].path, cases[0].at,
			"some readers of JSON tell names by their case, and here are others than the usual ones: "+listed(cases),
			"leave them if only Tailscale or Detour read the map, or convert it (detour map convert)")
	case len(cases) == 1:
		d.found(Warning, "field-case", cases[0].path, cases[0].at,
			fmt.Sprintf("the name of the field is %s, not %s", cases[0].want, cases[0].wrote), "write "+cases[0].want)
	}
	if apart := d.unlike[separators]; len(apart) > 1 {
		d.found(Error, "unknown-field", apart[0].path, apart[0].at, "nobody reads names whose words are separated: "+listed(apart), "write them without what separates")
	} else if len(apart) == 1 {
		d.found(Error, "unknown-field", apart[0].path, apart[0].at, fmt.Sprintf("there is no field %q", apart[0].wrote), "did you mean "+apart[0].want+"?")
	}
}

// listed names the first few different ones of many spellings.
func listed(all []spelling) string {
	const most = 3
	var names []string
	for _, s := range all {
		name := s.wrote + " for " + s.want
		if slices.Contains(names, name) {
			continue
		}
		if len(names) == most {
			names = append(names, "and others")
			break
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
