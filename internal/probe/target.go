package probe

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/reach"
)

// target is a relay to check, and what is claimed of it.
type target struct {
	dial   client.Config // without keys
	base   dialFunc      // connects to any address
	url    *url.URL
	host   string // without port and brackets
	port   string
	useTLS bool

	node *derpmap.Node // nil: given by a URL
}

// byURL is the target of a URL, which the client has to find valid, too.
func byURL(cfg Config) (*target, error) {
	way, err := reach.New(reach.Config{URL: cfg.Dial.URL})
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(way.Addr)
	return &target{
		dial: cfg.Dial, base: cfg.Dial.DialContext, url: way.Location, host: way.Host, port: port, useTLS: way.TLS,
	}, err
}

// byNode is the target of a node. What its HostName lacks to be one shows when it
// is connected to.
func byNode(cfg Config, n *derpmap.Node) *target {
	dial := cfg.Dial.AtNode(n)
	host := n.HostName
	if u, err := url.Parse(dial.URL); err == nil && u.Hostname() != "" {
		host = u.Hostname() // an address, where there is no name and none is needed
	}
	return &target{
		dial: dial, base: cfg.Dial.DialContext, node: n, useTLS: true,
		url: &url.URL{Scheme: "https", Host: shownHost(n, dial.URL, host), Path: "/derp"}, host: host, port: strconv.Itoa(n.DERP()),
	}
}

// shownHost is the host, and the port if it is not the usual one, that stands in the
// URL of the report: the address where the name is none.
func shownHost(n *derpmap.Node, dialed, host string) string {
	if reach.Usable(host) == nil {
		return strings.TrimSuffix(strings.TrimPrefix(dialed, "https://"), "/derp")
	}
	for _, field := range []string{n.IPv4, n.IPv6} {
		if addr, err := netip.ParseAddr(field); err == nil {
			host = addr.String()
			break
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(n.DERP()))
}

func (t *target) relays() bool { return t.node == nil || !t.node.STUNOnly }

func (t *target) name() string {
	if t.node != nil {
		return t.node.Name
	}
	return t.url.Host
}

// stunPort is where the relay answers STUN, 0 if it does not. A URL does not say;
// it is looked for where it usually is.
func (t *target) stunPort() int {
	if t.node == nil {
		return derpmap.DefaultSTUNPort
	}
	return t.node.STUN()
}

// addr is where the relay is, as an operator would write it.
func (t *target) addr() string { return net.JoinHostPort(t.host, t.port) }

// regionsOf returns what to check, in the order of the map.
func regionsOf(cfg Config) ([]*region, error) {
	if cfg.Map == nil {
		t, err := byURL(cfg)
		if err != nil {
			return nil, err
		}
		return []*region{newRegion(&Region{}, []*target{t})}, nil
	}
	var regions []*region
	for _, id := range cfg.Map.IDs() {
		r := cfg.Map.Regions[id]
		if cfg.Region != "" && !strings.EqualFold(cfg.Region, r.RegionCode) && cfg.Region != strconv.Itoa(id) {
			continue
		}
		if targets := targetsOf(cfg, r.Nodes); len(targets) > 0 {
			regions = append(regions, newRegion(&Region{ID: id, Code: line("%s", r.RegionCode), Name: line("%s", r.RegionName)}, targets))
		}
	}
	if len(regions) == 0 {
		return nil, noneOf(cfg)
	}
	return regions, nil
}

func targetsOf(cfg Config, nodes []*derpmap.Node) (targets []*target) {
	for _, n := range nodes {
		if n != nil && (cfg.Node == "" || cfg.Node == n.Name) {
			targets = append(targets, byNode(cfg, n))
		}
	}
	return targets
}

// NoneError: no node of the map was chosen.
type NoneError struct {
	Nodes []string // that there are, as region/node
}

func (e *NoneError) Error() string {
	if len(e.Nodes) == 0 {
		return "the map has no nodes"
	}
	return "no such node in the map, which has " + strings.Join(e.Nodes, ", ")
}

func noneOf(cfg Config) *NoneError {
	e := &NoneError{}
	for _, id := range cfg.Map.IDs() {
		r := cfg.Map.Regions[id]
		for _, n := range r.Nodes {
			if n != nil {
				e.Nodes = append(e.Nodes, fmt.Sprintf("%s/%s", cmp.Or(r.RegionCode, strconv.Itoa(id)), n.Name))
			}
		}
	}
	const shown = 20
	if len(e.Nodes) > shown {
		e.Nodes = append(slices.Clone(e.Nodes[:shown]), "…")
	}
	return e
}
