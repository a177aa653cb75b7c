package derpmap

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// LintConfig says what a map is for. The zero value: regions of one's own beside
// those of a provider.
type LintConfig struct {
	Form   Form // of the text; empty: look at it
	Public bool // the map is a provider's: IDs outside 900-999 are as they should be
	Local  bool // all who use the map are on one machine: loopback addresses are as they should be
}

// Lint returns what is wrong with the text of a map, in the order of the text.
// Without findings of severity [Error] the text can be loaded, and clients do with
// it what it says.
func Lint(source []byte, cfg LintConfig) []Finding {
	d, err := read(source, cfg.Form)
	if err != nil {
		var f Finding
		if !errors.As(err, &f) {
			f = syntaxAt(place{1, 1}, err.Error())
		}
		return []Finding{f}
	}
	l := &linter{
		decoder: d, cfg: cfg, codes: make(map[string]string), names: make(map[string]string),
		relays: make(map[relay]once), addresses: make(map[string]string),
	}
	l.lint(d.result)
	d.conventions()
	d.encoding(source)
	slices.SortStableFunc(d.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return d.findings
}

// linter knows the rules. It adds to the findings that the decoder has of the shape.
type linter struct {
	*decoder
	cfg LintConfig

	// What must be there once: where it is.
	codes, names, addresses map[string]string
	relays                  map[relay]once
}

// once is where a relay is, and how it is trusted there.
type once struct{ path, certName string }

// relay is what tells one relay from another.
type relay struct {
	host, v4, v6 string
	port         int
}

func (l *linter) error(path, code, remedy, format string, args ...any) {
	l.note(Error, path, code, remedy, format, args...)
}

func (l *linter) warn(path, code, remedy, format string, args ...any) {
	l.note(Warning, path, code, remedy, format, args...)
}

// note notes a finding where the value of path stands or, if it is missing, where
// that stands in which it should be. What could not be read has its finding
// already.
func (l *linter) note(severity Severity, path, code, remedy, format string, args ...any) {
	if l.bad[path] {
		return
	}
	above := path
	at, ok := l.places[above]
	for !ok {
		above = above[:max(0, strings.LastIndexAny(above, ".["))]
		at, ok = l.places[above]
	}
	l.found(severity, code, path, at, fmt.Sprintf(format, args...), remedy)
}

func (l *linter) lint(m *Map) {
	if l.bad[""] || l.bad["Regions"] {
		return
	}
	if l.broken == nil {
		l.regionless(m)
		l.nulls(m)
	}
	for _, id := range m.IDs() {
		l.region(fmt.Sprintf("Regions.%d", id), id, m.Regions[id])
	}
	if m.HomeParams != nil {
		l.scores(m)
	}
}

// regionless looks at a map that has no region. What serves maps, or tests what they
// name, refuses it; as a layer over another map it can do no more than take away.
func (l *linter) regionless(m *Map) {
	switch {
	case m.OmitDefaultRegions && m.Regions == nil:
		l.error("omitDefaultRegions", "omit-without-regions", "add Regions",
			"without Regions clients ignore it")
	case len(m.IDs()) > 0:
	case m.OmitDefaultRegions:
		l.error("Regions", "map-empty", "add a region, or take omitDefaultRegions out",
			"no region is left, so no two peers that need a relay reach each other")
	case len(m.Regions) > 0:
		l.warn("Regions", "map-overlay", "lay it over another map (detour map merge), or add regions",
			"the map has no regions and only removes %d, so by itself it connects nobody", len(m.Regions))
	case m.HomeParams != nil && m.Regions == nil:
		l.warn("HomeParams", "map-overlay", "lay it over another map (detour map merge), or add regions",
			"the map has no regions and only changes how a home is chosen, so by itself it connects nobody")
	default:
		l.error("Regions", "map-empty", "add Regions with a region in it", "the map has no regions")
	}
}

// manyNulls is how many regions somebody takes away one by one who means all.
const manyNulls = 3

// nulls looks at regions that are null, each of which takes one away from the map
// that this is laid over.
func (l *linter) nulls(m *Map) {
	n := len(m.Regions) - len(m.IDs())
	switch {
	case n == 0 || len(m.IDs()) == 0:
	case m.OmitDefaultRegions:
		l.warn("Regions", "null-unused", "take the nulls out", "omitDefaultRegions removes all other regions, so null removes nothing more (here %d times)", n)
	case n >= manyNulls:
		l.warn("Regions", "null-list", "write omitDefaultRegions: true in place of the nulls, if no other region shall be used",
			"null removes %d regions one by one, and regions that the provider adds later stay", n)
	}
}

func (l *linter) scores(m *Map) {
	for id, score := range m.HomeParams.RegionScore {
		path := fmt.Sprintf("HomeParams.RegionScore.%d", id)
		if score <= 0 {
			l.warn(path, "score-ignored", "write a factor above 0; below 1 attracts, above 1 repels",
				"clients ignore a factor of %v", score)
		}
		if m.Regions[id] == nil && m.Regions != nil && (m.OmitDefaultRegions || isPrivate(id)) {
			l.warn(path, "score-without-region", "take it out, or add the region", "there is no region %d", id)
		}
	}
}

func isPrivate(id int) bool { return 900 <= id && id <= 999 }

func (l *linter) region(path string, id int, r *Region) {
	if l.bad[path] {
		return
	}
	l.regionID(path, id, r)
	switch first, ok := l.codes[strings.ToLower(r.RegionCode)]; {
	case r.RegionCode == "":
		l.warn(path+".RegionCode", "region-code-missing", "add one, such as fra", "the region has no code")
	case ok:
		l.error(path+".RegionCode", "region-code-duplicate", "give each region a code of its own",
			"%s has the code %q too", first, r.RegionCode)
	default:
		l.codes[strings.ToLower(r.RegionCode)] = path
	}
	if r.RegionName == "" {
		l.warn(path+".RegionName", "region-name-missing", "add one, such as Frankfurt", "the region has no name")
	}
	if r.Latitude < -90 || r.Latitude > 90 {
		l.warn(path+".Latitude", "location-range", "write degrees from -90 to 90", "%v is nowhere", r.Latitude)
	}
	if r.Longitude < -180 || r.Longitude > 180 {
		l.warn(path+".Longitude", "location-range", "write degrees from -180 to 180", "%v is nowhere", r.Longitude)
	}
	if r.Avoid {
		l.warn(path+".Avoid", "avoid-deprecated", "write NoMeasureNoHome, which holds in all measurements",
			"clients measure the region in full scans all the same, and may choose it")
	}
	for i, n := range r.Nodes {
		l.node(fmt.Sprintf("%s.Nodes[%d]", path, i), id, n)
	}
	l.relayless(path, r)
}

func (l *linter) regionID(path string, id int, r *Region) {
	at := path + ".RegionID"
	switch {
	case r.RegionID == 0:
		l.error(at, "region-id-missing", fmt.Sprintf("add RegionID %d", id), "the region has no RegionID, and clients use it besides the key")
	case r.RegionID != id:
		l.error(at, "region-id-mismatch", "make the two the same", "RegionID is %d, but the key of the region is %d", r.RegionID, id)
	}
	switch {
	case id <= 0 || int64(id) > MaxRegionID:
		l.error(path, "region-id-range", "choose one from 900 to 999", "%d is no region ID", id)
	case id > 65535:
		l.error(path, "region-id-range", "choose one from 900 to 999", "daemons keep the ID in 16 bits and cannot use region %d", id)
	case !isPrivate(id) && !l.cfg.Public:
		l.warn(path, "region-id-private", "choose one from 900 to 999, or say that the map is a provider's",
			"region %d may be one of the provider's, now or one day, and would replace it", id)
	}
}

// relayless looks for regions whose nodes cannot do what the region is there for.
func (l *linter) relayless(path string, r *Region) {
	at := path + ".Nodes"
	if len(r.Nodes) == 0 {
		l.error(at, "region-empty", "add a node, or write null for the region to remove it", "the region has no nodes")
		return
	}
	stunless := !slices.ContainsFunc(r.Nodes, func(n *Node) bool { return n.STUN() != 0 })
	switch {
	case !slices.ContainsFunc(r.Nodes, func(n *Node) bool { return !n.STUNOnly }):
		l.error(at, "region-stun-only", "add a node that relays",
			"every node is STUNOnly: clients may choose the region as home, and then cannot connect")
	case r.Nodes[0].STUNOnly:
		l.warn(at+"[0].STUNOnly", "stun-only-first", "put a node that relays first",
			"the first node does not relay, and clients in browsers know no other")
	}
	if stunless && !r.NoMeasureNoHome {
		l.warn(at, "region-without-stun", "open STUN on a node, or set NoMeasureNoHome",
			"no node answers STUN, so clients can measure the region only where UDP is blocked, and hardly ever choose it")
	}
}
