package relaycmd

import (
	"encoding/json"
	"net/netip"

	"github.com/detour-relay/detour/derpmap"
)

// mapNode returns the entry of a DERP map that leads peers to a relay, ready to
// be pasted: in the first region that is free for private use. stun is the UDP
// port for STUN, 0 if there is none.
func mapNode(host, pin string, port, stun uint16) string {
	node := derpmap.Node{Name: "900a", RegionID: 900, HostName: host, CertName: pin}
	if port != derpmap.DefaultDERPPort {
		node.DERPPort = int(port)
	}
	switch stun {
	case derpmap.DefaultSTUNPort:
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
	text, err := json.Marshal(node)
	if err != nil {
		panic(err) // strings and numbers always have a JSON form
	}
	return string(text)
}
