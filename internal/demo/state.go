package demo

import "fmt"

// A State is what a demo consists of.
type State struct {
	Regions     []Region
	MapURL      string
	MapFile     string
	MeshKeyFile string
	Coordinator Coordinator
}

// A Coordinator is the one of a demo.
type Coordinator struct {
	URL      string
	CertName string // its pin
	Socket   string // for "detour net"; empty: there is none
}

// A Region is one of the map.
type Region struct {
	ID         int
	Code, Name string
	Nodes      []Node
}

// A Node is one relay of a region.
type Node struct {
	Name      string
	URL       string
	CertName  string // its pin
	ServerKey string
	STUN      string // UDP address
}

// State returns what the demo consists of. It does not change.
func (d *Demo) State() State {
	s := State{MapURL: fmt.Sprintf("http://%s/derpmap.json", d.maps.Addr()), MapFile: d.mapFile, MeshKeyFile: d.meshKey}
	now := d.coordinator.State()
	s.Coordinator = Coordinator{now.URL, now.Pin, now.Socket}
	for _, r := range d.regions {
		entry := Region{ID: r.entry.RegionID, Code: r.entry.RegionCode, Name: r.entry.RegionName}
		for _, relay := range r.relays {
			now := relay.daemon.State()
			entry.Nodes = append(entry.Nodes, Node{relay.name, now.URL, relay.pin, now.PublicKey, now.STUN})
		}
		s.Regions = append(s.Regions, entry)
	}
	return s
}
