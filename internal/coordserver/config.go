package coordserver

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/pin"
)

// StateSub is the part of the usual state directory that is a coordinator's.
const StateSub = "coord"

// DevListen is where a coordinator listens for Dev: a relay may be there, too.
const DevListen = "127.0.0.1:3350"

// A Config is what a coordinator is made from. It begins as [Defaults].
type Config struct {
	// Front has the settings that a relay has, too: Dev, Listen, Hostname, TLS, StateDir,
	// MaxConns, Drain, Log, Admin, AdminSocket, AdminHTTPS and AdminToken, and those of metrics. For Dev the
	// state is in memory, and there is an admin socket all the same. The others mean nothing here.
	Front config.Config

	// InMemory keeps the state in memory, where it is forgotten at the end. Dev does.
	InMemory bool

	// Map is a file or URL with the DERP map that members get, and is watched. Empty: that
	// which operators have set.
	Map   string
	MapCA string // PEM file with who may sign the certificate of the URL; empty: the system's

	// Cluster are the replicas of an embedded engine as NAME=ADDR, this one's among them,
	// which is called Name. ClusterSecret is the file with what they know each other by.
	// Empty: there is only this one.
	Cluster       []string
	Name          string
	ClusterSecret string

	// NATS are the URLs of an external engine, instead of an embedded one.
	NATS            []string
	NATSCredentials string // file; empty: none are needed
	NATSCA          string // PEM file; empty: the system's

	// Contacts are what invites name, each URL[=sha256-raw:pin]. Empty: this coordinator.
	Contacts []string

	// OpenVerify has relays ask about members without a token.
	OpenVerify bool
}

// Defaults are the settings of a coordinator that is told nothing.
func Defaults() Config { return Config{Front: config.Defaults()} }

// settings are those that a relay does not have.
var settings = []string{"map", "map-ca", "cluster", "name", "cluster-secret", "nats", "nats-credentials", "nats-ca", "contact", "open-verify"}

// wrong is an error about one of the settings.
func wrong(setting, what, remedy string) *config.Error {
	return &config.Error{Setting: setting, What: what, Remedy: remedy, More: settings}
}

// failed is an error about what a setting asks for.
func failed(setting string, err error, remedy string) error {
	return &config.Error{Setting: setting, Err: err, Remedy: remedy, Failed: true, More: settings}
}

// Complete returns the settings with what follows from others filled in, or a
// [*config.Error]. It looks at no file.
func (c Config) Complete() (Config, error) {
	if c.Front.Listen == "" && c.Front.Dev {
		c.Front.Listen = DevListen
	}
	if c.Front.Dev && c.Front.TLS.Mode == "" {
		c.Front.TLS.Mode = config.TLSOff
	}
	c.InMemory = c.InMemory || c.Front.Dev
	for _, check := range []func(*Config) error{(*Config).checkDev, (*Config).checkFront, (*Config).checkEngine, (*Config).checkCluster, (*Config).checkMap} {
		if err := check(&c); err != nil {
			return c, c.Front.Hide(err)
		}
	}
	return c, c.checkContacts()
}

// checkContacts makes sure that members who have an invite get here: they send nothing
// without TLS beyond their own machine.
func (c *Config) checkContacts() error {
	given, err := c.contacts()
	if err != nil || len(given) > 0 || c.Front.TLS.Mode != config.TLSOff || c.Front.Dev {
		return err
	}
	host, _, _ := net.SplitHostPort(c.Front.Listen)
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return wrong("contact", "is missing: without TLS, members of other machines reach this coordinator only through a proxy",
		"name its URL, such as https://coord.example.com, or choose self or files with {tls.mode}")
}

func (c *Config) checkDev() error {
	if !c.Front.Dev {
		return nil
	}
	for setting, given := range map[string]bool{
		"tls.mode": c.Front.TLS.Mode != config.TLSOff, "tls.cert": c.Front.TLS.Cert != "", "tls.key": c.Front.TLS.Key != "", "state-dir": c.Front.StateDir != "",
		"cluster": len(c.Cluster) > 0, "nats": len(c.NATS) > 0,
	} {
		if given {
			return wrong("dev", "is plain HTTP, with all state in memory, which is forgotten at the end", "leave out {"+setting+"}, or {dev}")
		}
	}
	return nil
}

func (c *Config) checkFront() (err error) {
	if c.Front, err = c.Front.Complete(); err != nil {
		return err
	}
	if c.Front, err = front.CheckNames(c.Front); err != nil {
		return err
	}
	if err := hostname.CheckListen(c.Front.Listen); err != nil {
		return &config.Error{Setting: "listen", What: err.Error()}
	}
	if c.Front.AsksPort80() {
		return &config.Error{Setting: "acme.challenge", What: "http is for relays: a coordinator does not answer at port 80", Remedy: "choose tls-alpn or dns"}
	}
	if err := front.CheckCommands(c.Front, "coordinator"); err != nil {
		return err
	}
	if err := front.CheckMetrics(c.Front, "coordinator"); err != nil {
		return err
	}
	return front.CheckLoopback("admin", c.Front.Admin, "127.0.0.1:9341", "it shows what is going on")
}

func (c *Config) checkEngine() error {
	switch {
	case c.InMemory && len(c.NATS)+len(c.Cluster) > 0:
		return wrong("cluster", "and {nats} keep the state, which is to be in memory", "")
	case len(c.NATS) > 0 && len(c.Cluster) > 0:
		return wrong("nats", "is an engine of its own, and {cluster} embeds one", "leave one or the other out")
	case len(c.NATS) == 0 && c.NATSCredentials != "":
		return wrong("nats-credentials", "is for {nats}", "name its URLs, or leave it out")
	case len(c.NATS) == 0 && c.NATSCA != "":
		return wrong("nats-ca", "is for {nats}", "name its URLs, or leave it out")
	}
	for _, text := range c.NATS {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" {
			return wrong("nats", fmt.Sprintf("%q", text), "want URLs such as tls://nats1.example.com:4222, with commas between")
		}
		if u.User != nil {
			return wrong("nats", "has a password in a URL, which others of this machine can see", "put credentials into a file, and name it with {nats-credentials}")
		}
	}
	return nil
}

var nodeName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?$`)

// replicas is how many an embedded cluster has.
const replicas = 3

func (c *Config) checkCluster() error {
	if len(c.Cluster) == 0 {
		for setting, value := range map[string]string{"name": c.Name, "cluster-secret": c.ClusterSecret} {
			if value != "" {
				return wrong(setting, "is for {cluster}", "name all coordinators with that, or leave it out")
			}
		}
		return nil
	}
	nodes, err := c.nodes()
	if err != nil {
		return err
	}
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	switch {
	case len(nodes) != replicas:
		return wrong("cluster", fmt.Sprintf("names %d coordinators", len(nodes)), fmt.Sprintf("want %d, this one among them: one of them may fail then", replicas))
	case c.Name == "":
		return wrong("name", "is missing", "say which one of {cluster} this is: "+strings.Join(names, ", "))
	case !slices.Contains(names, c.Name):
		return wrong("name", fmt.Sprintf("%q is not in {cluster}", c.Name), "which has "+strings.Join(names, ", "))
	case c.ClusterSecret == "":
		return wrong("cluster-secret", "is missing", `the file with what all coordinators of {cluster} know each other by; make one with "openssl rand -hex 32"`)
	}
	return nil
}

// A node is one of an embedded cluster.
type node struct{ Name, Addr string }

func (c *Config) nodes() (all []node, err error) {
	seen := make(map[string]bool)
	for _, text := range c.Cluster {
		name, addr, ok := strings.Cut(text, "=")
		host, port, splitError := net.SplitHostPort(addr)
		switch {
		case !ok || !nodeName.MatchString(name) || splitError != nil || host == "":
			return nil, wrong("cluster", fmt.Sprintf("%q", text), "want NAME=HOST:PORT of each coordinator, such as a=10.0.0.1:6222, with commas between")
		case hostname.CheckListen(addr) != nil || port == "0":
			return nil, wrong("cluster", fmt.Sprintf("%q: no such port", text), "want a number from 1 to 65535")
		case seen[name], seen[addr]:
			return nil, wrong("cluster", fmt.Sprintf("%q is like another one", text), "each coordinator has a name and an address of its own")
		}
		seen[name], seen[addr] = true, true
		all = append(all, node{name, addr})
	}
	return all, nil
}

func (c *Config) checkMap() error {
	if c.MapCA != "" && !strings.HasPrefix(strings.ToLower(c.Map), "https:") {
		return wrong("map-ca", "has no effect without a {map} from an https URL", "leave it out")
	}
	return nil
}

// contacts are those that are given.
func (c *Config) contacts() (all []coordapi.Contact, err error) {
	for _, text := range c.Contacts {
		address, pinned, hasPin := strings.Cut(text, "="+pin.Prefix)
		contact := coordapi.Contact{URL: address}
		if hasPin {
			p, err := pin.Parse(pin.Prefix + pinned)
			if err != nil {
				return nil, wrong("contact", fmt.Sprintf("%q", text), "want "+pin.Prefix+" and 64 lowercase hex digits after the URL, as the coordinator prints it at start")
			}
			contact.Pin = p.Sum()
		}
		if _, err := (coordapi.Invite{Contacts: []coordapi.Contact{contact}}).Text(); err != nil {
			return nil, wrong("contact", err.Error(), "")
		}
		all = append(all, contact)
	}
	if len(all) > 0 {
		if _, err := (coordapi.Invite{Contacts: all}).Text(); err != nil {
			return nil, wrong("contact", "has too many", err.Error())
		}
	}
	return all, nil
}
