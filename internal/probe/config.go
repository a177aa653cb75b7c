package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/key"
)

// Config says what to check. Zero fields mean the default.
type Config struct {
	// Dial is how to reach and trust relays. Its URL is the relay to check, unless
	// there is a Map, whose nodes say themselves where they are and whom to trust.
	// Keys are made for each connection; those of Dial are not used.
	Dial client.Config

	// Map has the relays to check, and Findings what derpmap.Lint says about its
	// text.
	Map      *derpmap.Map
	Findings []derpmap.Finding
	Region   string // only the region with this code or ID
	Node     string // only the node with this name

	// MeshKeys are keys that the relays accept from siblings, to look at the mesh
	// itself and to get past admission; several while they are replaced.
	MeshKeys []key.Mesh

	Timeout  time.Duration // of one check (default 10 s)
	Parallel int           // so many nodes at a time (default 4)
	Hold     time.Duration // keep a connection open without traffic for so long, to see who cuts it; 0: do not

	Words Words // how the settings that remedies speak of are spelt where they were given

	// These, if set, are called when the checks of a map, a node or a region are
	// done, in the order of the map and from the goroutine of Run.
	OnMap    func([]Check)
	OnNode   func(*Region, *Node)
	OnRegion func(*Region)

	// LookupNetIP asks the DNS; nil means net.DefaultResolver.
	LookupNetIP func(ctx context.Context, network, host string) ([]netip.Addr, error)

	port80 string // other than 80 in tests
}

// Words are how settings are spelt; those of Detour's relay, too. Empty fields are
// told in words.
type Words struct {
	explain.Words
	MeshKey  string // such as --mesh-psk-file
	MeshWith string // such as --mesh-with
}

const (
	defaultTimeout  = 10 * time.Second
	defaultParallel = 4

	// appName is what the logins of checks say that they are.
	appName = "detour check"
)

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	switch {
	case c.Map == nil && c.Dial.URL == "":
		return c, errors.New("neither a relay nor a map to check")
	case c.Map != nil && c.Dial.URL != "":
		return c, errors.New("a relay and a map to check: want one of them")
	case c.Map == nil && (c.Region != "" || c.Node != ""):
		return c, errors.New("a region or node to choose, but no map")
	case c.Timeout < 0 || c.Parallel < 0 || c.Hold < 0:
		return c, fmt.Errorf("timeout %v, %d nodes at a time, hold for %v: want more than 0", c.Timeout, c.Parallel, c.Hold)
	}
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Parallel = cmp.Or(c.Parallel, defaultParallel)
	c.Words.CA = cmp.Or(c.Words.CA, "the authorities to trust")
	c.Words.CertName = cmp.Or(c.Words.CertName, "the certificate name")
	c.Words.Insecure = cmp.Or(c.Words.Insecure, "the setting that accepts every certificate")
	c.Words.Proxy = cmp.Or(c.Words.Proxy, "the proxy's setting")
	c.Words.MeshKey = cmp.Or(c.Words.MeshKey, "the mesh key")
	c.Words.MeshWith = cmp.Or(c.Words.MeshWith, "the list of siblings")
	if c.LookupNetIP == nil {
		c.LookupNetIP = net.DefaultResolver.LookupNetIP
	}
	if c.Dial.Proxy == nil {
		c.Dial.Proxy = reach.ProxyFromEnvironment
	}
	if c.Dial.DialContext == nil {
		c.Dial.DialContext = new(net.Dialer).DialContext
	}
	if c.OnMap == nil {
		c.OnMap = func([]Check) {}
	}
	if c.OnNode == nil {
		c.OnNode = func(*Region, *Node) {}
	}
	if c.OnRegion == nil {
		c.OnRegion = func(*Region) {}
	}
	if c.port80 == "" {
		c.port80 = "80"
	}
	c.Dial.WebSocket = client.WebSocketNever // there is a check of its own for it
	c.Dial.Prober = true
	c.Dial.MeshKey = key.Mesh{}
	c.Dial.AppName = cmp.Or(c.Dial.AppName, appName)
	return c, nil
}
