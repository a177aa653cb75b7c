package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const (
	timeout = time.Minute     // of what must happen
	brief   = 2 * time.Second // of checks that are to find silence; half of it is for TLS

	hostName = "relay.test" // of all relays, which are at 127.0.0.1
)

var (
	meshKey, _      = key.ParseMesh(strings.Repeat("0f", key.Len))
	otherMeshKey, _ = key.ParseMesh(strings.Repeat("f0", key.Len))
)

// startRelay runs a real relay on loopback until the test ends. Its certificate has
// the meta certificate behind it.
func startRelay(t *testing.T, cert *tls.Certificate, cfg relay.Config) (port int, r *relay.Server) {
	t.Helper()
	if cfg.Key.IsZero() {
		cfg.Key = key.NewPrivate()
	}
	r = must(relay.New(cfg))(t)
	var config *tls.Config
	if cert != nil {
		config = certs.TLSConfig(source{cert: cert}, must(certs.NewMeta(cfg.Key.Public()))(t))
	}
	server := must(edge.Listen(edge.Config{Relay: r, Listen: "127.0.0.1:0", TLS: config}))(t)
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := errors.Join(r.Shutdown(ctx), server.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return portOf(server.Addr()), r
}

// source is a certificate that stays as it is.
type source struct {
	certs.Source
	cert *tls.Certificate
}

func (s source) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert, nil }
func (s source) Describe() certs.Description                                { return certs.Description{} }

// link keeps a link from one relay to another until the test ends.
func link(t *testing.T, from *relay.Server, port int, pin string) {
	t.Helper()
	entries := must(mesh.ParseEntries("127.0.0.1:" + strconv.Itoa(port) + "=" + pin))(t)
	m := must(mesh.New(mesh.Config{Relay: from, Entries: entries}))(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	for deadline := time.Now().Add(timeout); m.Siblings()[0].Status != mesh.Linked; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not linked: %+v", m.Siblings())
		}
	}
}

// startSTUN runs a responder until the test ends.
func startSTUN(t *testing.T) (port int) {
	t.Helper()
	r := must(stun.Listen(t.Context(), stun.Config{Addr: "127.0.0.1:0"}))(t)
	served := make(chan error, 1)
	go func() { served <- r.Serve(context.Background()) }()
	t.Cleanup(func() {
		r.Close()
		<-served
	})
	return int(r.Addr().Port())
}

// serve runs an HTTP server until the test ends, with TLS if there is a
// certificate.
func serve(t *testing.T, cert *tls.Certificate, handler http.Handler) (port int) {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	port = portOf(listener.Addr())
	server := &http.Server{Handler: handler, ErrorLog: silent()}
	if cert != nil {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{*cert}})
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return port
}

// mapNode is a relay of a map, pinned unless the certificate is nil.
func mapNode(name string, port int, cert *tls.Certificate) *derpmap.Node {
	n := &derpmap.Node{Name: name, RegionID: 900, HostName: hostName, IPv4: "127.0.0.1", IPv6: "none", DERPPort: port, STUNPort: -1}
	if cert != nil {
		n.CertName = pinText(cert)
	}
	return n
}

// mapOf makes a map with one region.
func mapOf(nodes ...*derpmap.Node) *derpmap.Map {
	return &derpmap.Map{Regions: map[int]*derpmap.Region{900: {RegionID: 900, RegionCode: "tst", RegionName: "Test", Nodes: nodes}}}
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// loopback says of every name that it is on this machine.
func loopback(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network == "ip4" {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// checked runs the checks of a configuration. DNS and port 80 are those of the
// test, not of the machine.
func checked(t *testing.T, cfg Config) *Report {
	t.Helper()
	if cfg.LookupNetIP == nil {
		cfg.LookupNetIP = loopback
	}
	if cfg.Dial.Proxy == nil {
		cfg.Dial.Proxy = noProxy
	}
	if cfg.port80 == "" {
		cfg.port80 = strconv.Itoa(closedPort(t))
	}
	if cfg.Words == (Words{}) {
		cfg.Words = Words{
			Words:   explain.Words{CA: "--ca", CertName: "--cert-name", Insecure: "--insecure", Proxy: "HTTPS_PROXY"},
			MeshKey: "--mesh-psk-file", MeshWith: "--mesh-with",
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	report, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all(report) {
		if c.Detail == "" || strings.Contains(c.Detail, "\n") || (c.Remedy != "") != (c.Status == Warn || c.Status == Fail) {
			t.Errorf("%s: %+v: want one line of detail, and a remedy with warn and fail only", c.Name, c)
		}
	}
	return report
}

// checkedNode runs the checks of one node of a map.
func checkedNode(t *testing.T, cfg Config, n *derpmap.Node) []Check {
	t.Helper()
	cfg.Map = mapOf(n)
	return checked(t, cfg).Regions[0].Nodes[0].Checks
}

func all(r *Report) (checks []Check) {
	checks = append(checks, r.Map...)
	for _, region := range r.Regions {
		for _, n := range region.Nodes {
			checks = append(checks, n.Checks...)
		}
		checks = append(checks, region.Checks...)
	}
	return checks
}

// want finds a check by its name, or by its name, from and to, and compares it.
// Patterns are regular expressions.
func want(t *testing.T, checks []Check, name string, status Status, detail, remedy string) {
	t.Helper()
	for _, c := range checks {
		full := strings.TrimSpace(c.Name + " " + c.From + " " + c.To)
		if full != name {
			continue
		}
		if c.Status != status || !regexp.MustCompile(detail).MatchString(c.Detail) || !regexp.MustCompile(remedy).MatchString(c.Remedy) {
			t.Errorf("%s is %s: %q, do %q\nwant %s: %q, do %q", full, c.Status, c.Detail, c.Remedy, status, detail, remedy)
		}
		return
	}
	t.Errorf("no check %s", name)
}

// wantNoOther fails for checks that warn or fail besides those named.
func wantNoOther(t *testing.T, checks []Check, names ...string) {
	t.Helper()
	for _, c := range checks {
		if (c.Status == Warn || c.Status == Fail) && !strings.Contains(" "+strings.Join(names, " ")+" ", " "+c.Name+" ") {
			t.Errorf("%s is %s: %s", c.Name, c.Status, c.Detail)
		}
	}
}

// must returns the value of a call that may not fail: must(f())(t).
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func portOf(addr net.Addr) int { return addr.(*net.TCPAddr).Port }

// closedPort is one that nothing listens on.
func closedPort(t *testing.T) int {
	t.Helper()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer listener.Close()
	return portOf(listener.Addr())
}

func urlOf(scheme string, port int) client.Config {
	return client.Config{URL: scheme + "://127.0.0.1:" + strconv.Itoa(port) + "/derp"}
}

func trusting(pool *x509.CertPool) client.Config { return client.Config{RootCAs: pool} }

func text(port int) string { return strconv.Itoa(port) }

func clientURL(url string) client.Config { return client.Config{URL: url} }
