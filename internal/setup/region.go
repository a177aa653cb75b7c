package setup

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/mesh"
)

// A Region is what a map calls the region of a relay.
type Region struct {
	ID         int
	Code, Name string // empty: made of the relay's name
}

// FirstRegion is free for private use.
const FirstRegion = 900

// Node is the entry of a DERP map that leads peers to a relay. The pin is that of its
// own certificate, empty if an authority signs it. stun is the UDP port for STUN, 0 if
// there is none.
func Node(host, pin string, port, stun uint16) derpmap.Node {
	node := derpmap.Node{Name: strconv.Itoa(FirstRegion) + "a", RegionID: FirstRegion, HostName: host, CertName: pin}
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
	return node
}

// Host is what peers know the relay by.
func Host(cfg config.Config) string {
	if names := front.Names(cfg); len(names) > 0 {
		return names[0]
	}
	return ""
}

// Map is a map with the relay of the settings, which are complete, and its siblings.
func Map(cfg config.Config, pin string, region Region) *derpmap.Map {
	r := &derpmap.Region{RegionID: region.ID, RegionCode: region.Code, RegionName: region.Name}
	if r.RegionCode == "" {
		r.RegionCode = codeOf(Host(cfg))
	}
	if r.RegionName == "" {
		r.RegionName = Host(cfg)
	}
	own := ownNode(cfg, pin)
	entries, _ := mesh.ParseEntries(strings.Join(cfg.Mesh.With, ","))
	placed := false
	for _, e := range entries {
		if e.Plain {
			continue // by a way that peers do not have
		}
		pinned := ""
		if !e.Pin.IsZero() {
			pinned = e.Pin.String()
		}
		node := Node(e.Host, pinned, e.Port, derpmap.DefaultSTUNPort)
		if e.Host == Host(cfg) {
			node, placed = own, true
		}
		r.Nodes = append(r.Nodes, &node)
	}
	if !placed {
		r.Nodes = append(r.Nodes, &own)
	}
	for i, node := range r.Nodes {
		node.Name, node.RegionID = strconv.Itoa(region.ID)+suffix(i), region.ID
	}
	return &derpmap.Map{Regions: map[int]*derpmap.Region{region.ID: r}}
}

// CheckMap says what is to be known of the map.
func CheckMap(m *derpmap.Map) (found []daemon.Finding) {
	source, err := m.MarshalJSON()
	if err != nil {
		return []daemon.Finding{finding(daemon.Wrong, "", "the map: %v", err)}
	}
	local := true
	for _, r := range m.Regions {
		for _, n := range r.Nodes {
			ip, err := netip.ParseAddr(n.HostName)
			local = local && err == nil && ip.IsLoopback()
		}
	}
	for _, f := range derpmap.Lint(source, derpmap.LintConfig{Form: derpmap.JSON, Local: local}) {
		found = append(found, finding(daemon.Noted, "", "the map: %s: %s; %s", f.Path, f.Message, f.Remedy))
	}
	return found
}

// suffix tells the nodes of a region apart: a, b, ... z, aa.
func suffix(i int) string {
	if i >= 26 {
		return suffix(i/26-1) + suffix(i%26)
	}
	return string(rune('a' + i))
}

func ownNode(cfg config.Config, pin string) derpmap.Node {
	node := Node(Host(cfg), pin, PublicPort(cfg), STUNPort(cfg))
	for _, text := range cfg.PublicIP {
		switch ip, err := netip.ParseAddr(text); {
		case err != nil:
		case ip.Is4() && (node.IPv4 == "" || node.IPv4 == "none"):
			node.IPv4 = text
		case ip.Is6() && (node.IPv6 == "" || node.IPv6 == "none"):
			node.IPv6 = text
		}
	}
	node.CanPort80 = portIn(cfg.HTTP) == 80
	return node
}

// PublicPort is the TCP port at which peers connect: that of the relay, or of a proxy
// before it, which has the usual one.
func PublicPort(cfg config.Config) uint16 {
	if port := portIn(cfg.Listen); port != 0 && cfg.TLS.Mode != config.TLSOff {
		return port
	}
	return derpmap.DefaultDERPPort
}

// STUNPort is the UDP port of STUN; 0: there is none.
func STUNPort(cfg config.Config) uint16 {
	switch cfg.STUN {
	case config.STUNOff:
		return 0
	case "":
		return derpmap.DefaultSTUNPort
	}
	return portIn(cfg.STUN)
}

// portIn is the port of an address to listen on; 0 for none.
func portIn(address string) uint16 {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil {
		return 0
	}
	return uint16(port)
}

// codeOf is a code for a region: the first part of the relay's name.
func codeOf(host string) string {
	if IsAddress(host) || host == "" {
		return "relay"
	}
	code, _, _ := strings.Cut(host, ".")
	return code
}
