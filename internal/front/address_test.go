package front

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestURLWithoutTLS(t *testing.T) {
	for _, c := range []struct{ hostname, bound, want string }{
		{"", "127.0.0.1:3340", "http://127.0.0.1:3340"},
		{"", "127.0.0.1:80", "http://127.0.0.1"},
		{"", "[::]:3340", "http://127.0.0.1:3340"},
		{"", "[::1]:3340", "http://[::1]:3340"},
		{"", "[::1]:80", "http://[::1]"},
		{"relay.example", "[::]:443", "http://relay.example:443"},
		{"2001:db8::7", "[::]:80", "http://[2001:db8::7]"},
	} {
		got := Address{Hostname: c.hostname, Bound: netip.MustParseAddrPort(c.bound)}.URL()
		if got != c.want {
			t.Errorf("host %q bound to %s: %s, want %s", c.hostname, c.bound, got, c.want)
		}
	}
}

// A wildcard is no name to give to people, but one to ask for in a check.
func TestURLOfACertificate(t *testing.T) {
	for want, names := range map[string][]string{
		"https://relay.example": {"*.example", "relay.example"},
		"https://127.0.0.1":     {"*.example"},
	} {
		a := Address{Bound: netip.MustParseAddrPort("[::]:443"), Leaf: &x509.Certificate{DNSNames: names}}
		if got := a.URL(); got != want {
			t.Errorf("%q: %s, want %s", names, got, want)
		}
		if got := a.CheckURL(); got != "https://relay.example" {
			t.Errorf("%q: it is checked as %s", names, got)
		}
	}
}

func TestStateDir(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", dir)
	for _, sub := range []string{"", "coord"} {
		if got, err := StateDir("", sub); got != dir || err != nil {
			t.Errorf("%q, %v; want the service manager's %q", got, err, dir)
		}
		if got, err := StateDir("given", sub); got != "given" || err != nil {
			t.Errorf("%q, %v; want the one of the settings", got, err)
		}
	}
	t.Setenv("STATE_DIRECTORY", "")
	got, err := StateDir("", "")
	if err != nil || !filepath.IsAbs(got) || filepath.Base(got) != "detour" {
		t.Errorf("%q, %v; want an absolute path to a directory detour", got, err)
	}
	if below, err := StateDir("", "coord"); err != nil || below != filepath.Join(got, "coord") {
		t.Errorf("%q, %v; want coord in %q", below, err, got)
	}
}

// A server without descriptors says so each second.
func TestNetLogOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		to := NetLog(slog.New(slog.NewTextHandler(&log, nil)))
		for range 150 {
			fmt.Fprintln(to.Writer(), "http: Accept error: too many open files; retrying in 1s")
			time.Sleep(time.Second)
		}
		if n := strings.Count(log.String(), "level=WARN msg=\"http: Accept error: too many open files; retrying in 1s\"\n"); n != 3 {
			t.Errorf("%d lines in 150 s, want 3: %s", n, log.String())
		}
	})
}
