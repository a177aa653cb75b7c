package certs

import (
	"encoding/json"
	"net/netip"
)

// A MapNode is the entry of a DERP map that leads peers to one relay (spec 8.3),
// ready to be pasted.
type MapNode struct {
	Name     string // unique over the whole map
	RegionID int
	HostName string
	CertName string `json:",omitempty"` // the pin
	IPv4     string `json:",omitempty"` // "none": the relay has no such address
	IPv6     string `json:",omitempty"`
	STUNPort int    `json:",omitempty"` // 0: 3478; -1: the relay answers no STUN
	DERPPort int    `json:",omitempty"` // 0: 443
}

// NewMapNode describes a relay in the first region that is free for private use.
// stun is its UDP port for STUN, 0 if it has none.
func NewMapNode(host, pin string, port, stun uint16) MapNode {
	node := MapNode{Name: "900a", RegionID: 900, HostName: host, CertName: pin}
	if port != 443 {
		node.DERPPort = int(port)
	}
	switch stun {
	case 3478:
	case 0:
		node.STUNPort = -1
	default:
		node.STUNPort = int(stun)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		node.IPv4, node.IPv6 = "none", host
		if ip.Is4() {
			node.IPv4, node.IPv6 = host, "none"
		}
	}
	return node
}

// String returns the node as one line of JSON.
func (n MapNode) String() string {
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	return string(text)
}
