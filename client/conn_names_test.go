package client

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// logins are the ways to log in to the node of a map that has only this one.
var logins = map[string]func(ctx context.Context, base Config, n *derpmap.Node) error{
	"Conn": func(ctx context.Context, base Config, n *derpmap.Node) error {
		c, _, err := Login(ctx, base.AtNode(n))
		if err == nil {
			c.Close()
		}
		return err
	},
	"Region": func(ctx context.Context, base Config, n *derpmap.Node) error {
		r, err := NewRegion(RegionConfig{Nodes: []RelayConfig{{Name: n.Name, Config: base.AtNode(n)}}})
		if err != nil {
			return err
		}
		defer r.Close()
		defer context.AfterFunc(ctx, func() { r.Close() })()
		_, err = r.Recv(nil)
		return err
	},
	"Host": func(ctx context.Context, base Config, n *derpmap.Node) error {
		h, err := NewHost(HostConfig{Key: base.Key, Base: base,
			Map: &derpmap.Map{Regions: map[int]*derpmap.Region{901: {RegionID: 901, Nodes: []*derpmap.Node{n}}}}})
		if err != nil {
			return err
		}
		defer h.Close()
		_, err = h.AwaitHome(ctx)
		return err
	},
}

// A name that is needed neither to find the relay nor to verify its certificate may be
// missing or wrong: what the map gives beside it is enough.
func TestLoginToNodesByName(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue("relay.example.com", "192.0.2.1", "_relay.example.com")
	pin, long := pinOf(cert), strings.Repeat("x", 300)
	for name, test := range map[string]struct {
		node derpmap.Node
		addr []string // that may be dialled; none: nothing is
		host string   // in the request
		sni  string
		says string // the error
	}{
		"no name":                    {derpmap.Node{IPv4: "192.0.2.1", InsecureForTests: true}, []string{"192.0.2.1:33445"}, "192.0.2.1:33445", "", ""},
		"no name, IPv6":              {derpmap.Node{IPv6: "2001:db8::1", InsecureForTests: true}, []string{"[2001:db8::1]:33445"}, "[2001:db8::1]:33445", "", ""},
		"no name, none and IPv6":     {derpmap.Node{IPv4: "none", IPv6: "2001:db8::1", CertName: pin}, []string{"[2001:db8::1]:33445"}, "[2001:db8::1]:33445", "", ""},
		"no name, pin":               {derpmap.Node{IPv4: "192.0.2.1", CertName: pin}, []string{"192.0.2.1:33445"}, "192.0.2.1:33445", "", ""},
		"no name, both families":     {derpmap.Node{IPv4: "192.0.2.1", IPv6: "2001:db8::1", CertName: pin}, []string{"192.0.2.1:33445", "[2001:db8::1]:33445"}, "192.0.2.1:33445", "", ""},
		"no name, another to verify": {derpmap.Node{IPv4: "192.0.2.1", CertName: "relay.example.com"}, []string{"192.0.2.1:33445"}, "192.0.2.1:33445", "relay.example.com", ""},
		"name with a space, pin":     {derpmap.Node{HostName: "my relay", IPv4: "192.0.2.1", CertName: pin}, []string{"192.0.2.1:33445"}, "192.0.2.1:33445", "", ""},
		"name with a slash":          {derpmap.Node{HostName: "a/b", IPv4: "192.0.2.1", InsecureForTests: true}, []string{"192.0.2.1:33445"}, "192.0.2.1:33445", "", ""},
		"name too long":              {derpmap.Node{HostName: long, IPv4: "192.0.2.1", InsecureForTests: true}, []string{"192.0.2.1:33445"}, "192.0.2.1:33445", "", ""},
		"name with NUL, pin":         {derpmap.Node{HostName: "a\x00", IPv4: "192.0.2.1", CertName: pin}, []string{"192.0.2.1:33445"}, "192.0.2.1:33445", "", ""},
		"address as name":            {derpmap.Node{HostName: "192.0.2.1"}, []string{"192.0.2.1:33445"}, "192.0.2.1:33445", "", ""},
		"underscore":                 {derpmap.Node{HostName: "_relay.example.com", IPv4: "192.0.2.1", CertName: pin}, []string{"192.0.2.1:33445", "_relay.example.com:33445"}, "_relay.example.com:33445", "_relay.example.com", ""},
		"underscore, by name only":   {derpmap.Node{HostName: "_relay.example.com", InsecureForTests: true}, []string{"_relay.example.com:33445"}, "_relay.example.com:33445", "_relay.example.com", ""},
		"a name and no address":      {derpmap.Node{HostName: "relay.example.com"}, []string{"relay.example.com:33445"}, "relay.example.com:33445", "relay.example.com", ""},

		"no name to verify":          {derpmap.Node{IPv4: "192.0.2.1"}, nil, "", "", "no HostName to verify its certificate for"},
		"wrong name to verify":       {derpmap.Node{HostName: "my relay", IPv4: "192.0.2.1"}, nil, "", "", "HostName"},
		"neither name nor address":   {derpmap.Node{InsecureForTests: true}, nil, "", "", "neither a HostName nor an address"},
		"wrong name and no address":  {derpmap.Node{HostName: "a b", CertName: pin}, nil, "", "", "HostName"},
		"no name, and no address is": {derpmap.Node{IPv4: "none", IPv6: "none", CertName: pin}, nil, "", "", "neither a HostName nor an address"},
	} {
		for way, login := range logins {
			if way == "Host" && test.addr == nil {
				continue // it waits for a better map
			}
			t.Run(name+" by "+way, func(t *testing.T) {
				node := test.node
				node.Name, node.RegionID, node.DERPPort, node.STUNPort = "901a", 901, 33445, -1
				var mu sync.Mutex
				var dialled, hosts, names []string
				note := func(to *[]string, what string) {
					mu.Lock()
					defer mu.Unlock()
					*to = append(*to, what)
				}
				server := serverTLS(cert)
				server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
					note(&names, hello.ServerName)
					return nil, nil
				}
				relay := startRelay(t, key.NewPrivate(), server, func(s *side) {
					head, ok := s.request()
					if _, host, found := strings.Cut(head, "\r\nHost: "); found {
						host, _, _ = strings.Cut(host, "\r\n")
						note(&hosts, host)
					}
					if !ok || !s.write([]byte(switchingProtocols)) || !s.write(greeting(s.key)) {
						return
					}
					if _, ok := s.readLogin(); ok && s.write(s.serverInfo(derp.ServerInfo{Version: 2})) {
						s.drain()
					}
				})
				base := relay.config(t, "")
				base.RootCAs = a.pool()
				toRelay := base.DialContext
				base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if !strings.HasSuffix(addr, ":80") { // captive portals are looked for there
						note(&dialled, addr)
					}
					return toRelay(ctx, "tcp", addr)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := login(ctx, base, &node)
				relay.stop()
				mu.Lock() // an attempt that was given up may end later
				defer mu.Unlock()
				if test.addr == nil {
					if err == nil || len(dialled) > 0 {
						t.Errorf("%v after dialling %q, want an error before", err, dialled)
					}
					if err != nil && !strings.Contains(err.Error(), test.says) {
						t.Errorf("%v, want one that says %q", err, test.says)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, addr := range dialled {
					if !slices.Contains(test.addr, addr) {
						t.Errorf("dialled %q, want %q", dialled, test.addr)
					}
				}
				if slices.ContainsFunc(hosts, func(h string) bool { return h != test.host }) || len(hosts) == 0 {
					t.Errorf("asked for %q, want %q", hosts, test.host)
				}
				if slices.ContainsFunc(names, func(n string) bool { return n != test.sni }) {
					t.Errorf("TLS names %q, want %q", names, test.sni)
				}
			})
		}
	}
}
