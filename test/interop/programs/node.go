package programs

// Node is an entry of a DERP map, with the names that maps have in JSON. This package
// serves modules that have different versions of the reference, so it knows none of
// its types; who needs them goes by JSON.
type Node struct {
	Name             string
	RegionID         int
	HostName         string
	CertName         string `json:",omitempty"`
	IPv4             string `json:",omitempty"`
	IPv6             string `json:",omitempty"`
	STUNPort         int    `json:",omitempty"`
	STUNOnly         bool   `json:",omitempty"`
	DERPPort         int    `json:",omitempty"`
	InsecureForTests bool   `json:",omitempty"`
	STUNTestIP       string `json:",omitempty"`
	CanPort80        bool   `json:",omitempty"`
}
