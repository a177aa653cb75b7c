package daemon

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
)

func TestWrongSNI(t *testing.T) {
	for _, c := range []struct {
		change func(*config.Config)
		want   string
	}{
		{func(c *config.Config) { c.SNI = map[string]string{"relay.test": "127.0.0.1:1"} }, `sni: "relay.test" is what peers reach the relay by`},
		{func(c *config.Config) { c.SNI = map[string]string{"git.test": "8443"} }, `sni: git.test: "8443": want host:port`},
		{func(c *config.Config) { c.SNI = map[string]string{"bücher.test": "a:1"} }, "write xn--bcher-kva.test"},
		{func(c *config.Config) { c.SNIUnknown = "deny" }, "sni-unknown: "},
		{func(c *config.Config) { c.SNINone = "deny" }, "sni-none: "},
		{func(c *config.Config) { c.Hostname, c.SNINone = "203.0.113.7", "close" }, "asks for no name"},
		{func(c *config.Config) { c.SNI = map[string]string{"git.test": "127.0.0.1:443"} }, "is where the relay itself listens"},
		{func(c *config.Config) { c.SNI = map[string]string{"git.test": "localhost:443"} }, "is where the relay itself listens"},
		{func(c *config.Config) { c.SNIUnknown = "relay.test:443" }, "is where the relay itself listens"},
		{func(c *config.Config) { c.Listen, c.SNIUnknown = "127.0.0.2:443", "127.0.0.1:443" }, ""},
		{func(c *config.Config) { c.Listen, c.SNIUnknown = "127.0.0.2:443", "127.0.0.2:443" }, "is where the relay itself listens"},
		{func(c *config.Config) { c.Listen, c.SNIUnknown = "unix:/run/a.sock", "unix:/run/a.sock" }, "is where the relay itself listens"},
		{func(c *config.Config) { c.Listen, c.SNIUnknown = "unix:/run/a.sock", "unix:/run/b.sock" }, ""},
		{func(c *config.Config) { c.TLS.Mode, c.SNIUnknown = config.TLSOff, "close" }, "is for a relay that speaks TLS"},
		{func(c *config.Config) { c.MaxForeign = -1 }, "max-foreign"},
		{func(c *config.Config) { c.Discreet = true }, "discreet has home answer"},
		{func(c *config.Config) { c.Discreet, c.Home = true, "/var/www" }, ""},
		{func(c *config.Config) { c.Home = "www" }, `home "www": want nothing`},
		{func(c *config.Config) { c.Home = "proxy:127.0.0.1:80" }, "want proxy: and the URL"},
		{func(c *config.Config) {
			c.SNI, c.SNIUnknown, c.SNINone = map[string]string{"*.test": "web:8443", "git.test": "proxy-v2:unix:/run/git.sock"}, "close", "10.0.0.1:443"
		}, ""},
	} {
		cfg := config.Defaults()
		cfg.TLS.Mode, cfg.Hostname = config.TLSSelf, "relay.test"
		c.change(&cfg)
		_, err := Complete(cfg, nil)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(config.Text(err, func(s string) string { return s }), c.want)) {
			t.Errorf("%v: %v, want %s", cfg.SNI, err, c.want)
		}
	}
}

// Whether those who share the port answer is looked at, and no reason not to start.
func TestCheckAsksThoseWhoShareThePort(t *testing.T) {
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	c := secured(t)
	c.AdminSocket = config.AdminSocketOff
	c.SNI = map[string]string{"git.test": there.Addr().String(), "a.test": "unix:/nowhere/x.sock"}
	c.SNIUnknown, c.Home = "127.0.0.1:1", "/nowhere/www"
	got := linesOf(Check(t.Context(), c))
	for _, want := range []string{
		"note home /nowhere/www has nothing to show: open /nowhere/www: no such", "ok sni " + there.Addr().String() + " for git.test answers\n", "note sni unix:/nowhere/x.sock for a.test does not answer: dial unix /nowhere/x.sock",
		"note sni-unknown 127.0.0.1:1 for unknown names does not answer: ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%swant %s", got, want)
		}
	}
}

// Names of others are live, and the relay's peers notice nothing. At the end what is
// passed on has its time, and no more.
func TestSNIIsLive(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the other server") }))
	defer web.Close()
	c := secured(t)
	c.Access.Everyone, c.Drain = true, config.Duration(300*time.Millisecond)
	r := startRunning(t, c, Options{})
	page := func(name string) (text string, left *tls.Conn) {
		t.Helper()
		conn, err := tls.Dial("tcp", r.State().Listen, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			return "", nil
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(timeout))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		answer := make([]byte, 4096)
		n, _ := io.ReadAtLeast(conn, answer, 100)
		return string(answer[:n]), conn
	}
	if got, _ := page("git.test"); !strings.Contains(got, "DERP relay") {
		t.Errorf("before: %s", got)
	}
	r.change(t, func(c *config.Config) {
		c.SNI, c.SNIUnknown = map[string]string{"git.test": web.Listener.Addr().String()}, "close"
	})
	if got, _ := page("git.test"); !strings.Contains(got, "the other server") {
		t.Errorf("then: %s", got)
	}
	if got, conn := page("x.test"); conn != nil {
		t.Errorf("an unknown name: %s", got)
	}
	r.login(t, r.own.next()) // by an address, without a name
	if got := r.edge.Snapshot().SNI; got.Open != 1 || got.Refused.Unknown != 1 {
		t.Errorf("%+v", got)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if got := r.edge.Snapshot().SNI; got.Open != 1 {
		t.Errorf("%+v: it has its time until the relay stops", got)
	}
}
