package derpmap

import (
	"encoding/json"
	"maps"
	"slices"
)

// Map is a DERP map. Clients get it from their control server, whole or as an
// update of the one before.
type Map struct {
	// Regions by their RegionID. A nil Regions leaves the regions, and
	// OmitDefaultRegions, as they were in the map before. A nil region removes that
	// region in [Merge]; clients ignore it.
	Regions map[int]*Region

	// HomeParams that are nil leave those of the map before.
	HomeParams *HomeParams `json:",omitempty"`

	// OmitDefaultRegions: only the regions of this map count, not also those that
	// the provider has by default. It means something only together with Regions.
	OmitDefaultRegions bool `json:"omitDefaultRegions,omitempty"`

	Extra Extra `json:"-"`
}

// HomeParams say how clients choose their home region.
type HomeParams struct {
	// RegionScore is a factor on the latency of a region: below 1 attracts, above 1
	// repels. A region that is not in it has 1, and a factor of 0 or less is
	// ignored. If it is nil, it is as in the map before; if it is empty but not
	// nil, all factors are 1 again. [Map.Encode] keeps the two apart.
	RegionScore map[int]float64 `json:",omitzero"`

	Extra Extra `json:"-"`
}

// Region is a place where relays are. A peer that has its home there is connected
// to one of them; the relays are meshed.
type Region struct {
	RegionID   int    // > 0, same as its key in Map.Regions; 900-999 are for private use; daemons cannot use one above 65535
	RegionCode string // short, such as "fra"
	RegionName string // long, such as "Frankfurt"

	Latitude, Longitude float64 `json:",omitempty"` // degrees; no part in the choice of a home

	// Avoid is deprecated: the region is not measured unless it is the home, but
	// full scans by STUN do measure it.
	Avoid bool `json:",omitempty"`

	// NoMeasureNoHome: the region is never measured and never a home; peers that
	// live there are still reached.
	NoMeasureNoHome bool `json:",omitempty"`

	Nodes []*Node // in order of preference: clients take the first that they can connect to

	Extra Extra `json:"-"`
}

// Node is one relay.
type Node struct {
	Name     string // unique in the whole map, such as "900a"; not a host name
	RegionID int    // of the region that it is in
	HostName string // DNS name or IP address: what is dialled unless IPv4 or IPv6 say otherwise, and what TLS asks for

	// CertName is empty to verify the certificate for HostName, "sha256-raw:" and
	// 64 lower-case hex digits to accept only the certificate with that SHA-256, or
	// another name to verify the certificate for.
	CertName string `json:",omitempty"`

	IPv4 string `json:",omitempty"` // address instead of what DNS says; "none": no IPv4
	IPv6 string `json:",omitempty"` // likewise

	STUNPort         int    `json:",omitempty"` // UDP; 0 means 3478, -1 no STUN
	STUNOnly         bool   `json:",omitempty"` // answers STUN, but does not relay
	DERPPort         int    `json:",omitempty"` // TCP with TLS; 0 means 443
	InsecureForTests bool   `json:",omitempty"` // the certificate is not verified at all
	STUNTestIP       string `json:",omitempty"` // tests: where STUN goes instead
	CanPort80        bool   `json:",omitempty"` // port 80 answers /generate_204

	Extra Extra `json:"-"`
}

// Extra has the fields of an object that this package does not know, by name, as
// JSON.
type Extra map[string]json.RawMessage

// Defaults of the ports of a node.
const (
	DefaultDERPPort = 443
	DefaultSTUNPort = 3478
)

// MaxRegionID is the largest RegionID: larger integers are not exact in every JSON
// reader.
const MaxRegionID int64 = 1<<53 - 1

// DERP returns the TCP port on which the node relays.
func (n *Node) DERP() int {
	if n.DERPPort == 0 {
		return DefaultDERPPort
	}
	return n.DERPPort
}

// STUN returns the UDP port on which the node answers STUN, or 0 if it does not.
func (n *Node) STUN() int {
	switch {
	case n.STUNPort == 0:
		return DefaultSTUNPort
	case n.STUNPort < 0:
		return 0
	}
	return n.STUNPort
}

// IDs returns the IDs of the regions, in order, without those that are nil.
func (m *Map) IDs() []int {
	ids := make([]int, 0, len(m.Regions))
	for id, region := range m.Regions {
		if region != nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// NodeCount is how many nodes the regions have in all.
func (m *Map) NodeCount() (n int) {
	for _, region := range m.Regions {
		if region != nil {
			n += len(region.Nodes)
		}
	}
	return n
}

// Clone returns a copy that shares nothing with m.
func (m *Map) Clone() *Map {
	if m == nil {
		return nil
	}
	c := *m
	c.Extra = m.Extra.clone()
	c.HomeParams = m.HomeParams.clone()
	c.Regions = maps.Clone(m.Regions)
	for id, region := range c.Regions {
		c.Regions[id] = region.clone()
	}
	return &c
}

func (h *HomeParams) clone() *HomeParams {
	if h == nil {
		return nil
	}
	return &HomeParams{RegionScore: maps.Clone(h.RegionScore), Extra: h.Extra.clone()}
}

func (r *Region) clone() *Region {
	if r == nil {
		return nil
	}
	c := *r
	c.Extra = r.Extra.clone()
	c.Nodes = slices.Clone(r.Nodes)
	for i, n := range c.Nodes {
		if n != nil {
			node := *n
			node.Extra = n.Extra.clone()
			c.Nodes[i] = &node
		}
	}
	return &c
}

func (e Extra) clone() Extra {
	c := maps.Clone(e)
	for name, value := range c {
		c[name] = slices.Clone(value)
	}
	return c
}
