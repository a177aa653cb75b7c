package daemon

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/key"
)

// loginBehind logs in over connections that begin with the word of a proxy.
func loginBehind(t *testing.T, d *Daemon, network, address, first string) (*client.Conn, key.Public) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	now, secret := d.State(), key.NewPrivate()
	url := now.URL
	if now.Certificate == nil {
		url = "http://relay.example.com/derp"
	}
	conn, _, err := client.Login(ctx, client.Config{URL: url, CertName: now.Pin, Key: secret, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			_, err = io.WriteString(c, first)
		}
		return c, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, secret.Public()
}

// addrOf is where a peer comes from, as "detour peers list" shows it.
func addrOf(t *testing.T, socket string, peer key.Public) (addr string) {
	t.Helper()
	c := control.OverSocket(socket)
	defer c.Close()
	if err := c.Peers(t.Context(), func(p control.Peer) error {
		if p.Key == peer {
			addr = p.Addr
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return addr
}

// Operators see where peers come from, and the relay's own check gets in all the same.
func TestPeersBehindAProxy(t *testing.T) {
	c := secured(t)
	c.TrustedProxies, c.SelfCheck, c.Access.Everyone = []string{"127.0.0.0/8"}, config.CheckDirect, true
	d := open(t, c, Options{})
	run(t, d)
	_, peer := loginBehind(t, d, "tcp", d.State().Listen, "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n")
	if got := addrOf(t, d.State().Socket, peer); got != "192.0.2.1:4711" {
		t.Errorf("it comes from %s", got)
	}
	eventually(t, "a self-check that is well", func() bool {
		check := d.State().Health.SelfCheck
		return check.Checks > 0 && check.FailedTotal == 0
	})

	next := d.Config()
	next.TrustedProxies = nil
	next.ProxyHeader = ""
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	checks := d.State().Health.SelfCheck.Checks
	eventually(t, "a self-check without proxies", func() bool {
		check := d.State().Health.SelfCheck
		return check.Checks > checks && check.FailedTotal == 0
	})
}

func TestUnixListener(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // has no modes
	}
	c := secured(t)
	path := filepath.Join(filepath.Dir(c.StateDir), "run", "relay.sock")
	c.Listen, c.TLS.Mode, c.Hostname, c.SelfCheck, c.Access.Everyone, c.ListenMode = "unix:"+path, config.TLSOff, "relay.example.com", config.CheckDirect, true, "666"
	d := open(t, c, Options{})
	end := run(t, d)
	if s := d.State(); s.Listen != "unix:"+path || s.URL != "https://relay.example.com/derp" {
		t.Errorf("%s, %s", s.Listen, s.URL)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.ModeSocket|0o666 {
		t.Errorf("%v, %v", info, err)
	}
	_, peer := loginBehind(t, d, "unix", path, "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n")
	if got := addrOf(t, d.State().Socket, peer); got != "[2001:db8::1]:4711" {
		t.Errorf("it comes from %s", got)
	}
	eventually(t, "a self-check that is well", func() bool {
		check := d.State().Health.SelfCheck
		return check.Checks > 0 && check.FailedTotal == 0
	})

	other := c
	other.StateDir = filepath.Join(filepath.Dir(c.StateDir), "other")
	if _, err := Open(other, Options{}); !errors.Is(err, control.ErrAnswered) {
		t.Errorf("a second relay: %v", err)
	}
	end()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// A relay that was killed leaves its socket; what is no socket stays.
func TestUnixListenerThatStands(t *testing.T) {
	c := secured(t)
	path := filepath.Join(filepath.Dir(c.StateDir), "relay.sock")
	c.Listen, c.TLS.Mode, c.Access.Everyone = "unix:"+path, config.TLSOff, true
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	d := open(t, c, Options{})
	run(t, d)
	loginBehind(t, d, "unix", path, behind.Local)
	d.Stop()

	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(c, Options{}); !errors.Is(err, control.ErrNoSocket) {
		t.Errorf("a file: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "a file" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestProxySettingsAreChecked(t *testing.T) {
	for want, change := range map[string]func(*config.Config){
		`{trusted-proxies}: "10.0.0.0/99": want networks`: func(c *config.Config) { c.TrustedProxies = []string{"10.0.0.0/99"} },
		`{trusted-proxies}: "0.0.0.0/0" is everybody`:     func(c *config.Config) { c.TrustedProxies = []string{"0.0.0.0/0"} },
		`{proxy-header} "always": choose required`:        func(c *config.Config) { c.ProxyHeader, c.TrustedProxies = "always", []string{"10.0.0.1"} },
		`{proxy-header} is for proxies that are believed`: func(c *config.Config) { c.ProxyHeader = config.HeaderRequired },
		`{listen} "/run/x.sock": write unix:/run/x.sock`:  func(c *config.Config) { c.Listen = "/run/x.sock" },
		`{listen} "unix:x.sock": write the whole path`:    func(c *config.Config) { c.Listen = "unix:x.sock" },
		`{listen-mode} is for unix sockets`:               func(c *config.Config) { c.ListenMode = "660" },
		`{listen-group} is for unix sockets`:              func(c *config.Config) { c.ListenGroup = "www-data" },
		`{listen-mode} "680": want the mode`:              func(c *config.Config) { c.Listen, c.ListenMode = "unix:/run/x.sock", "680" },
		`{http} is for a relay that speaks TLS`:           func(c *config.Config) { c.HTTP = ":80" },
		"can be reached by others":                        func(c *config.Config) { c.TrustedProxies = []string{"127.0.0.1"} },
	} {
		c := plain()
		change(&c)
		_, err := Open(c, Options{})
		if text := config.Text(err, func(s string) string { return "{" + s + "}" }); err == nil || !strings.Contains(text, want) {
			t.Errorf("%s, want %s", text, want)
		}
	}
}

func TestPlainHTTPLeadsToHTTPS(t *testing.T) {
	c := secured(t)
	c.HTTP = "127.0.0.1:0"
	d := open(t, c, Options{})
	run(t, d)
	web := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer web.CloseIdleConnections()
	answer, err := web.Get("http://" + d.State().HTTP + "/page")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if want := "https://" + d.State().Listen + "/page"; answer.StatusCode != http.StatusFound || answer.Header.Get("Location") != want {
		t.Errorf("%d to %s, want %s", answer.StatusCode, answer.Header.Get("Location"), want)
	}
}
