package measure

import (
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/home"
)

// Regions returns what internal/home needs to know of the regions of a map, in the
// order of their IDs.
func Regions(m *derpmap.Map) []home.Region {
	var regions []home.Region
	for _, id := range m.IDs() {
		r := m.Regions[id]
		regions = append(regions, home.Region{
			ID: id, Nodes: nodes(r), Avoid: r.Avoid, NoMeasureNoHome: r.NoMeasureNoHome,
		})
	}
	return regions
}

func nodes(r *derpmap.Region) []home.Node {
	var nodes []home.Node
	for _, n := range r.Nodes {
		if n == nil {
			continue
		}
		nodes = append(nodes, home.Node{
			HostName: n.HostName, IPv4: n.IPv4, IPv6: n.IPv6,
			STUNPort: n.STUNPort, STUNOnly: n.STUNOnly, STUNTestIP: n.STUNTestIP, CanPort80: n.CanPort80,
		})
	}
	return nodes
}
