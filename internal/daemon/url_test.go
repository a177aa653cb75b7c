package daemon

import (
	"crypto/x509"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/detour-relay/detour/internal/config"
)

func TestURLOfAPlainRelay(t *testing.T) {
	for _, c := range []struct{ hostname, bound, want string }{
		{"", "127.0.0.1:3340", "http://127.0.0.1:3340/derp"},
		{"", "127.0.0.1:80", "http://127.0.0.1/derp"},
		{"", "[::]:3340", "http://127.0.0.1:3340/derp"},
		{"", "[::1]:3340", "http://[::1]:3340/derp"},
		{"", "[::1]:80", "http://[::1]/derp"},
		{"relay.example", "[::]:443", "http://relay.example:443/derp"},
		{"2001:db8::7", "[::]:80", "http://[2001:db8::7]/derp"},
	} {
		got := address{hostname: c.hostname, bound: netip.MustParseAddrPort(c.bound)}.url()
		if got != c.want {
			t.Errorf("host %q bound to %s: %s, want %s", c.hostname, c.bound, got, c.want)
		}
	}
}

// A wildcard is no name to give to people, but one to ask for in a check.
func TestURLOfACertificate(t *testing.T) {
	for want, names := range map[string][]string{
		"https://relay.example/derp": {"*.example", "relay.example"},
		"https://127.0.0.1/derp":     {"*.example"},
	} {
		a := address{bound: netip.MustParseAddrPort("[::]:443"), leaf: &x509.Certificate{DNSNames: names}}
		if got := a.url(); got != want {
			t.Errorf("%q: %s, want %s", names, got, want)
		}
		if got := a.checkURL(); got != "https://relay.example/derp" {
			t.Errorf("%q: it is checked as %s", names, got)
		}
	}
}

func TestStateDir(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", dir)
	if got, err := stateDir(config.Config{}); got != dir || err != nil {
		t.Errorf("%q, %v; want the service manager's %q", got, err, dir)
	}
	if got, err := stateDir(config.Config{StateDir: "given"}); got != "given" || err != nil {
		t.Errorf("%q, %v; want the one of the settings", got, err)
	}
	t.Setenv("STATE_DIRECTORY", "")
	if got, err := stateDir(config.Config{}); err != nil || !filepath.IsAbs(got) || filepath.Base(got) != "detour" {
		t.Errorf("%q, %v; want an absolute path to a directory detour", got, err)
	}
}
