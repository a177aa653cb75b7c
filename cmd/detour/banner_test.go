package main

import (
	"crypto/x509"
	"net/netip"
	"path/filepath"
	"testing"
)

func TestRelayURL(t *testing.T) {
	plain := &relayProcess{}
	for _, c := range []struct{ hostname, bound, want string }{
		{"", "127.0.0.1:3340", "http://127.0.0.1:3340/derp"},
		{"", "127.0.0.1:80", "http://127.0.0.1/derp"},
		{"", "[::]:3340", "http://127.0.0.1:3340/derp"},
		{"", "[::1]:3340", "http://[::1]:3340/derp"},
		{"", "[::1]:80", "http://[::1]/derp"},
		{"relay.example", "[::]:443", "http://relay.example:443/derp"},
		{"2001:db8::7", "[::]:80", "http://[2001:db8::7]/derp"},
	} {
		got := plain.url(c.hostname, netip.MustParseAddrPort(c.bound))
		if got != c.want {
			t.Errorf("host %q bound to %s: %s, want %s", c.hostname, c.bound, got, c.want)
		}
	}
}

func TestNameOf(t *testing.T) {
	if got := nameOf(&x509.Certificate{DNSNames: []string{"*.example", "relay.example"}}); got != "relay.example" {
		t.Errorf("name %q", got)
	}
	if got := nameOf(&x509.Certificate{DNSNames: []string{"*.example"}}); got != "" {
		t.Errorf("name %q of a wildcard", got)
	}
}

func TestDefaultStateDir(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", dir)
	if got, err := defaultStateDir(); got != dir || err != nil {
		t.Errorf("%q, %v; want the service manager's %q", got, err, dir)
	}
	t.Setenv("STATE_DIRECTORY", "")
	if got, err := defaultStateDir(); err != nil || !filepath.IsAbs(got) || filepath.Base(got) != "detour" {
		t.Errorf("%q, %v; want an absolute path to a directory detour", got, err)
	}
}
