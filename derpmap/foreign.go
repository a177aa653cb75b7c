package derpmap

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// foreignTexts are files that people take for maps, or get in place of one, and that
// are neither JSON nor YAML.
var foreignTexts = []struct {
	begins       *regexp.Regexp // of the first line that is neither empty nor a comment
	what, remedy string
}{
	{regexp.MustCompile(`(?i)^<(!doctype html|html|head|body|script)`), "this is an HTML page",
		"give the URL of the map itself; a login or an error page looks like this"},
	{regexp.MustCompile(`^<`), "this is XML", "give the map as JSON or YAML"},
	{regexp.MustCompile(`^-----BEGIN `), "this is a PEM file", "name the map; certificates and keys belong to a relay's settings"},
	{regexp.MustCompile(`^(privkey|nodekey|mkey|discokey|tskey)[:-]`), "this is a key", "name the map, and keep the key secret"},
	{regexp.MustCompile(`^\[(Unit|Service|Socket|Install|Timer|Match|Network)\]$`), "this is a systemd unit", "name the map"},
	{regexp.MustCompile(`^\[+[A-Za-z_"'][\w."' -]*\]+\s*(#.*)?$`), "this is a TOML or INI file", "write the map as JSON or YAML"},
	{regexp.MustCompile(`^(export\s+)?[A-Za-z_][\w.-]*\s*=`), "this is a file of settings (NAME=value)", "write the map as JSON or YAML"},
	{regexp.MustCompile(`^https?://\S+$`), "this is a URL in a file", "give the URL itself in place of the file"},
	{regexp.MustCompile(`(?i)^HTTP/[\d.]+ \d+`), "this is the head of an HTTP answer", "keep what comes behind its first empty line"},
	{regexp.MustCompile(`^(GET|POST|server|upstream|location|http)\s.*[{;]$`), "this is the configuration of a web server", "name the map"},
	{regexp.MustCompile(`^diff --git|^--- [ab]/`), "this is a patch", "apply it, and name the map"},
}

// foreignText names what a text is that is no map in any form.
func foreignText(source []byte) (what, remedy string) {
	if bytes.HasPrefix(source, []byte("#!")) {
		return "this is a script", "name the map, or pipe what the script prints"
	}
	line := firstLine(source)
	for _, f := range foreignTexts {
		if f.begins.Match(line) {
			return f.what, f.remedy
		}
	}
	return "", ""
}

// firstLine returns the first line that says something.
func firstLine(source []byte) []byte {
	for line := range bytes.Lines(source) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != ';' && !bytes.HasPrefix(line, []byte("//")) {
			return line[:min(len(line), 200)]
		}
	}
	return nil
}

// foreignObjects are files whose form is right. One of the fields is enough, but for
// those that are followed by + and another.
var foreignObjects = []struct {
	fields       string
	what, remedy string
}{
	{"server_url noise prefixes derp+server_url derp+prefixes", "this is Headscale's configuration", "the map is the file that derp.paths lists"},
	{"services+image services+version x-common volumes+services services", "this is a Docker Compose file", "name the map"},
	{"apiVersion+kind", "this is a Kubernetes manifest", "the map is what stands in it under data or spec"},
	{"acls grants tagOwners autoApprovers nodeAttrs groups+hosts ssh", "this is a policy without derpMap", "add derpMap with Regions, or name the map"},
	{"PrivateKey privateKey", "this is the key of a relay", "name the map, and keep the key secret"},
	{"RegionLatency PreferredDERP", "this is a report of netcheck", "name the map"},
	{"BackendState Self+Peer", "this is the status of a peer", "name the map (tailscale debug derp-map prints it)"},
	{"error message+code message+status message+statusCode message+documentation_url error_description", "this is an error of a server", "look at its URL: what answers there has no map"},
}

// foreignObject names what an object is that has no Regions.
func foreignObject(root *tree, form Form) (what, remedy string) {
	if what, remedy := inside(root, form); what != "" {
		return what, remedy
	}
	for _, f := range foreignObjects {
		for wanted := range strings.FieldsSeq(f.fields) {
			if hasAll(root, strings.Split(wanted, "+")) {
				return f.what + ", not a map", f.remedy
			}
		}
	}
	if i := root.find("derp"); i >= 0 && slices.ContainsFunc([]string{"server", "urls", "paths"}, func(name string) bool { return root.members[i].value.find(name) >= 0 }) {
		return "this is a part of Headscale's configuration, not a map", "the map is the file that derp.paths lists"
	}
	for _, m := range root.members {
		if m.value.kind == object && m.value.find("Regions") >= 0 {
			return fmt.Sprintf("the map stands under %q", m.name), "take out what is around it"
		}
		if m.value.kind == str && strings.Contains(strings.ToLower(m.value.text), "regions") && strings.Contains(m.value.text, "\n") {
			return fmt.Sprintf("a map may stand as a text under %q", m.name), "take it out of there, into a file of its own"
		}
	}
	return "", ""
}

func hasAll(t *tree, names []string) bool {
	for _, name := range names {
		if t.find(name) < 0 {
			return false
		}
	}
	return true
}

// inside knows the parts of a map that stand alone.
func inside(t *tree, form Form) (what, remedy string) {
	switch {
	case len(t.members) == 0:
		return "", ""
	case allRegions(t) && form == YAML:
		return "this is the inside of regions, without regions: above it", "write regions: above it, and indent all that is below"
	case allRegions(t):
		return "this is the inside of Regions, without Regions around it", `put {"Regions": before it and } behind it`
	case t.find("Nodes") >= 0:
		return "this is one region, not a map", "put Regions around it, and in Regions the ID as its key"
	case t.find("HostName") >= 0:
		return "this is one node, not a map", "put it into the Nodes of a region, and that into Regions"
	}
	return "", ""
}

// allRegions tells whether all members look like regions by their keys, or, if the
// keys are codes, by what they are.
func allRegions(t *tree) bool {
	for _, m := range t.members {
		if _, err := strconv.Atoi(m.name); err == nil && (m.value.kind == object || m.value.kind == null) {
			continue
		}
		if m.value.kind != object || m.value.find("Nodes") < 0 {
			return false
		}
	}
	return true
}

// listRemedy says what to make of a list that stands in place of a map or of its
// regions.
func listRemedy(form Form) string {
	if form == YAML {
		return "write regions: and below it, in place of the - of each region, its ID as a key, such as 900:"
	}
	return `write {"Regions": {"900": {...}}}, with the ID of each region as its key`
}
