package relaycmd

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/setup"
)

// What an authority would refuse is told before it is asked: a name that leads elsewhere
// or nowhere, an authority that is none, and what is kept already.
func TestCheckOfWhatAnAuthorityIssues(t *testing.T) {
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/dir" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, `{"newOrder": "https://ca.example.com/order"}`)
	}))
	t.Cleanup(web.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	here, there := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.1")
	leads := map[string][]netip.Addr{"relay.example.com": {here}, "other.example.com": {there}}
	world := setup.World{
		Own: func() []netip.Addr { return []netip.Addr{here} },
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if leads[host] == nil {
				return nil, &net.DNSError{Name: host, IsNotFound: true}
			}
			return leads[host], nil
		},
	}
	broken := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		change func(*config.Config)
		want   []string
	}{
		"all is well": {func(*config.Config) {}, []string{"ok relay.example.com leads here", "ok the authority answers", "note acme: there is no certificate yet"}},
		"elsewhere":   {func(c *config.Config) { c.Hostname = "other.example.com" }, []string{"note other.example.com leads to 198.51.100.1, and this machine has 192.0.2.7"}},
		"nowhere":     {func(c *config.Config) { c.Hostname = "new.example.com" }, []string{"note new.example.com has no address in the DNS yet"}},
		"no authority": {func(c *config.Config) { c.ACME.Directory = "https://" + gone.Addr().String() + "/dir" },
			[]string{"note the authority cannot be reached"}},
		"another place": {func(c *config.Config) { c.ACME.Directory = web.URL + "/none" },
			[]string{"is not the directory of an authority"}},
		"no storage":   {func(c *config.Config) { c.ACME.Storage = broken }, []string{"note acme: there is no certificate: none for relay.example.com yet: storage of certificates"}},
		"not an issue": {func(c *config.Config) { c.TLS.Mode, c.ACME = config.TLSSelf, config.ACME{} }, nil},
	} {
		c := config.Defaults()
		c.Hostname, c.TLS.Mode, c.StateDir, c.Access.Everyone = "relay.example.com", config.TLSACME, t.TempDir(), true
		c.ACME.Directory, c.ACME.CA = web.URL+"/dir", ca
		test.change(&c)
		var said strings.Builder
		for _, f := range checkIssued(t.Context(), c, world) {
			fmt.Fprintf(&said, "%s %s\n", f.Level, f.Err.What)
		}
		for _, want := range test.want {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%s: it says %s, want %s", what, &said, want)
			}
		}
		if test.want == nil && said.Len() > 0 {
			t.Errorf("%s: it says %s", what, &said)
		}
		if _, err := os.Stat(filepath.Join(c.StateDir, "acme")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something was made: %v", what, err)
		}
	}
}
