package probe

import (
	"cmp"
	"slices"

	"github.com/detour-relay/detour/derpmap"
)

// maxFindings bounds the checks about a map; a broken one can have a finding on
// every line.
const maxFindings = 30

// mapChecks makes a check of each finding, or one that says that there are none.
func mapChecks(cfg Config) []Check {
	if cfg.Map == nil {
		return []Check{}
	}
	if len(cfg.Findings) == 0 {
		regions, nodes := cfg.Map.IDs(), 0
		for _, id := range regions {
			nodes += len(cfg.Map.Regions[id].Nodes)
		}
		c := ok("regions: %d, nodes: %d", len(regions), nodes)
		c.Name = "map"
		return []Check{c}
	}
	findings := slices.Clone(cfg.Findings)
	slices.SortStableFunc(findings, func(a, b derpmap.Finding) int { return cmp.Compare(rank(a), rank(b)) })
	var checks []Check
	for _, f := range findings[:min(len(findings), maxFindings)] {
		checks = append(checks, mapCheck(f))
	}
	return checks
}

// rank puts errors first, so that the bound leaves none of them out before a
// warning.
func rank(f derpmap.Finding) int {
	if f.Severity == derpmap.Error {
		return 0
	}
	return 1
}

func mapCheck(f derpmap.Finding) Check {
	c := warn("%d:%d: %s: %s [%s]", f.Line, f.Column, f.Path, f.Message, f.Code)
	if f.Severity == derpmap.Error {
		c.Status = Fail
	}
	if c.Name = "map"; f.Remedy == "" {
		return c.do("correct the map there")
	}
	return c.do("%s", f.Remedy)
}
