package setup

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What people write where a name is asked for.
func TestName(t *testing.T) {
	for written, want := range map[string]string{
		"relay.example.com":                   "relay.example.com",
		"Relay.Example.COM.":                  "relay.example.com",
		"https://relay.example.com/":          `relay.example.com, "https://relay.example.com/" is a URL: taken as relay.example.com`,
		"https://Relay.example.com:8443/derp": `relay.example.com, "https://Relay.example.com:8443/derp" is a URL: taken as relay.example.com; which port the relay has says {listen}: :8443`,
		"relay.example.com:443":               `relay.example.com, "relay.example.com:443" has a port: taken as relay.example.com`,
		"relay.example.com:8443":              `relay.example.com, "relay.example.com:8443" has a port: taken as relay.example.com; which port the relay has says {listen}: :8443`,
		" relay.example.com":                  `relay.example.com, " relay.example.com" has white space around it: taken as relay.example.com`,
		"bücher.example":                      "xn--bcher-kva.example",
		"203.0.113.7":                         "203.0.113.7",
		"203.0.113.7:443":                     `203.0.113.7, "203.0.113.7:443" has a port: taken as 203.0.113.7`,
		"2001:DB8::7":                         "2001:db8::7",
		"2001:db8:0:0::7":                     `2001:db8::7, "2001:db8:0:0::7" is taken as 2001:db8::7`,
		"[2001:db8::7]":                       `2001:db8::7, "[2001:db8::7]" is an IPv6 address in brackets: taken as 2001:db8::7`,
		"*.example.com":                       "error: is a wildcard",
		"a.example.com,b.example.com":         "error: is more than one name",
		"fe80::1%eth0":                        "error: has a zone",
		"0.0.0.0":                             "error: is an address that nobody can connect to",
		"":                                    "error: is empty",
		"300.1.1.1":                           "error: is no IPv4 address",
	} {
		host, said, err := Name(written)
		got := host
		if said != "" {
			got += ", " + said
		}
		if err != nil {
			got = err.Error()
		}
		if text, isError := strings.CutPrefix(want, "error: "); isError && strings.Contains(got, text) && err != nil {
			continue
		}
		if strings.HasPrefix(want, "xn--") && strings.HasPrefix(got, want+", ") { // and how it is spelt
			continue
		}
		if got != want {
			t.Errorf("%q: %s\nwant %s", written, got, want)
		}
	}
}

func addrs(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// world is one where DNS and interfaces have these; no address: there is no such name.
func world(dns, own []netip.Addr) World {
	return World{
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if dns == nil {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return dns, nil
		},
		Own:      func() []netip.Addr { return own },
		Hostname: func() (string, error) { return "relay.example.com", nil },
	}
}

func linesOf(found []daemon.Finding) string {
	var lines []string
	for _, f := range found {
		lines = append(lines, string(f.Level)+" "+f.Err.Error())
	}
	return strings.Join(lines, "\n")
}

func TestHost(t *testing.T) {
	own := addrs("203.0.113.7", "2001:db8::7", "10.0.0.5") // the first two are as good as public
	for _, c := range []struct {
		what, host string
		public     []string
		dns, own   []netip.Addr
		want       []string
	}{
		{"here", "relay.example.com", nil, addrs("203.0.113.7", "2001:db8::7"), own, []string{"ok hostname relay.example.com leads here: 203.0.113.7, 2001:db8::7"}},
		{"nowhere", "relay.example.com", nil, nil, own, []string{"note hostname relay.example.com has no address in the DNS yet: make an A record"}},
		{"translated", "relay.example.com", nil, addrs("198.51.100.9"), addrs("10.0.0.5"), []string{
			"note hostname relay.example.com leads to 198.51.100.9, and this machine has 10.0.0.5: right behind a NAT or balancer that leads here, else mend the A record"}},
		{"translated, and said", "relay.example.com", []string{"198.51.100.9"}, addrs("198.51.100.9"), addrs("10.0.0.5"), []string{
			"ok hostname relay.example.com leads here: 198.51.100.9", "note public-ip 198.51.100.9 is no address of this machine, which has 10.0.0.5: right behind a NAT"}},
		{"IPv6 astray", "relay.example.com", nil, addrs("203.0.113.7", "2001:db8::9"), addrs("203.0.113.7"), []string{
			"ok hostname relay.example.com leads here: 203.0.113.7", "note hostname relay.example.com leads to 2001:db8::9, too, and this machine has no IPv6: take the AAAA record away"}},
		{"IPv6 elsewhere", "relay.example.com", nil, addrs("203.0.113.7", "2001:db8::9"), own, []string{"ok hostname relay", "note hostname relay.example.com leads to 2001:db8::9, and this machine has"}},
		{"the hosts file", "relay.example.com", nil, addrs("127.0.1.1"), own, []string{"note hostname relay.example.com leads to 127.0.1.1 as seen from here, which is each machine itself: see /etc/hosts"}},
		{"private", "relay.example.com", nil, addrs("10.0.0.9"), own, []string{"note hostname relay.example.com leads to 10.0.0.9, an address of a private network"}},
		{"an address", "203.0.113.7", nil, nil, own, []string{"ok hostname 203.0.113.7 is an address of this machine"}},
		{"another address", "198.51.100.9", nil, nil, nil, []string{"note hostname 198.51.100.9 is no address of this machine, which has no address that others reach"}},
		{"an inner address", "10.0.0.5", nil, nil, own, []string{"note hostname 10.0.0.5 is an address of a private network: peers elsewhere do not get here by it"}},
		{"loopback", "::1", nil, nil, own, []string{"note hostname ::1 is this machine alone"}},
		{"none", "", []string{"203.0.113.7"}, nil, own, []string{"ok public-ip 203.0.113.7 is an address of this machine"}},
	} {
		cfg := config.Config{Hostname: c.host, PublicIP: c.public, Listen: ":443"}
		got := world(c.dns, c.own).Host(t.Context(), cfg)
		if len(got) != len(c.want) {
			t.Errorf("%s: %s", c.what, linesOf(got))
			continue
		}
		for i, line := range strings.Split(linesOf(got), "\n") {
			if !strings.HasPrefix(line, c.want[i]) {
				t.Errorf("%s: %s\nwant %s", c.what, line, c.want[i])
			}
		}
	}
	w := world(nil, own)
	w.Lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no server") }
	if got := linesOf(w.Host(t.Context(), config.Config{Hostname: "a.example"})); got != "note hostname nobody could be asked where a.example leads: no server" {
		t.Error(got)
	}
	elsewhere := config.Config{Hostname: "203.0.113.7", Listen: ":8443", TLS: config.TLS{Mode: config.TLSACME}}
	if got := linesOf(w.Host(t.Context(), elsewhere)); !strings.Contains(got, "note listen is port 8443, and the authority asks at port 443") {
		t.Error(got)
	}
}

func TestGuess(t *testing.T) {
	for want, w := range map[string]World{
		"relay.example.com": world(addrs("198.51.100.9", "203.0.113.7"), addrs("203.0.113.7")),
		"203.0.113.7":       world(addrs("127.0.1.1"), addrs("10.0.0.5", "2001:db8::7", "203.0.113.7")),
		"2001:db8::7":       world(nil, addrs("10.0.0.5", "2001:db8::7")),
		"":                  world(addrs("10.0.0.5"), addrs("10.0.0.5", "fd00::1")),
	} {
		if got := w.Guess(t.Context()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func complete(t *testing.T, given ...string) config.Config {
	t.Helper()
	c := config.Defaults()
	c.Access.Managed = true
	for i := 0; i < len(given); i += 2 {
		if err := config.Set(&c, given[i], given[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	c, err := daemon.Complete(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMap(t *testing.T) {
	const pin = "sha256-raw:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		what   string
		cfg    config.Config
		pin    string
		region Region
		want   string
	}{
		{"a name", complete(t, "hostname", "fra.example.com", "tls.mode", "acme", "http", ":80"), "", Region{ID: 900},
			`{"RegionID":900,"RegionCode":"fra","RegionName":"fra.example.com","Nodes":[{"Name":"900a","RegionID":900,"HostName":"fra.example.com","CanPort80":true}]}`},
		{"an address", complete(t, "hostname", "203.0.113.7", "tls.mode", "self", "listen", ":8443", "stun", ":3479", "public-ip", "2001:db8::7"), pin, Region{901, "x", "X"},
			`{"RegionID":901,"RegionCode":"x","RegionName":"X","Nodes":[{"Name":"901a","RegionID":901,"HostName":"203.0.113.7","CertName":"` + pin + `","IPv4":"203.0.113.7","IPv6":"2001:db8::7","STUNPort":3479,"DERPPort":8443}]}`},
		{"addresses only", complete(t, "public-ip", "203.0.113.7", "tls.mode", "acme", "stun", "off"), "", Region{ID: 900},
			`{"RegionID":900,"RegionCode":"relay","RegionName":"203.0.113.7","Nodes":[{"Name":"900a","RegionID":900,"HostName":"203.0.113.7","IPv4":"203.0.113.7","IPv6":"none","STUNPort":-1}]}`},
		{"behind a proxy", complete(t, "hostname", "a.example.com", "tls.mode", "off", "listen", "127.0.0.1:3340", "stun", ":3478", "trusted-proxies", "127.0.0.1"), "", Region{ID: 900},
			`{"RegionID":900,"RegionCode":"a","RegionName":"a.example.com","Nodes":[{"Name":"900a","RegionID":900,"HostName":"a.example.com"}]}`},
		{"the second", complete(t, "hostname", "b.example.com", "tls.mode", "acme", "mesh.with", "a.example.com:8443,http://10.0.0.9:3340,c.example.com="+pin), "", Region{ID: 900, Code: "fra"},
			`{"RegionID":900,"RegionCode":"fra","RegionName":"b.example.com","Nodes":[{"Name":"900a","RegionID":900,"HostName":"a.example.com","DERPPort":8443},` +
				`{"Name":"900b","RegionID":900,"HostName":"c.example.com","CertName":"` + pin + `"},{"Name":"900c","RegionID":900,"HostName":"b.example.com"}]}`},
		{"the second of a list", complete(t, "hostname", "b.example.com", "tls.mode", "acme", "mesh.with", "a.example.com,b.example.com"), "", Region{ID: 900, Code: "fra"},
			`{"RegionID":900,"RegionCode":"fra","RegionName":"b.example.com","Nodes":[{"Name":"900a","RegionID":900,"HostName":"a.example.com"},{"Name":"900b","RegionID":900,"HostName":"b.example.com"}]}`},
	} {
		m := Map(c.cfg, c.pin, c.region)
		text, err := m.MarshalJSON()
		if want := `{"Regions":{"` + strings.Split(strings.Split(c.want, ":")[1], ",")[0] + `":` + c.want + `}}`; err != nil || string(text) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.what, err, text, want)
		}
		for _, form := range []derpmap.Form{derpmap.HuJSON, derpmap.YAML} {
			source, err := m.Encode(form)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range derpmap.Lint(source, derpmap.LintConfig{Form: form}) {
				if f.Severity == derpmap.Error {
					t.Errorf("%s: %v", c.what, f)
				}
			}
		}
	}
	addresses := complete(t, "hostname", "203.0.113.7", "tls.mode", "acme")
	if got := linesOf(CheckMap(Map(addresses, "", Region{ID: 900}))); !strings.Contains(got, "note the map: Regions.900.Nodes[0].HostName: for an address Tailscale's clients verify") {
		t.Error(got)
	}
	if suffix(25) != "z" || suffix(26) != "aa" || suffix(27) != "ab" {
		t.Error(suffix(25), suffix(26), suffix(27))
	}
}

func TestOpenings(t *testing.T) {
	web := Openings(complete(t, "hostname", "a.example.com", "tls.mode", "acme", "acme.challenge", "http", "http", ":80"))
	behind := Openings(complete(t, "hostname", "a.example.com", "tls.mode", "off", "listen", ":3340", "stun", ":3478", "trusted-proxies", "10.0.0.0/24,2001:db8::/64"))
	local := Openings(complete(t, "hostname", "a.example.com", "tls.mode", "off", "listen", "127.0.0.1:3340", "stun", "off", "trusted-proxies", "127.0.0.1"))
	if len(local) != 0 || len(web) != 3 || len(behind) != 2 {
		t.Fatalf("%v, %v, %v", local, web, behind)
	}
	for _, c := range []struct {
		firewall string
		openings []Opening
		want     []string
	}{
		{"ufw", web, []string{"ufw allow 443/tcp", "ufw allow 3478/udp", "ufw allow 80/tcp"}},
		{"ufw", behind[:1], []string{"ufw allow from 10.0.0.0/24 to any port 3340 proto tcp", "ufw allow from 2001:db8::/64 to any port 3340 proto tcp"}},
		{"firewall-cmd", web[:1], []string{"firewall-cmd --permanent --add-port=443/tcp", "firewall-cmd --reload"}},
		{"firewall-cmd", behind[:1], []string{
			"firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=10.0.0.0/24 port port=3340 protocol=tcp accept'",
			"firewall-cmd --permanent --add-rich-rule='rule family=ipv6 source address=2001:db8::/64 port port=3340 protocol=tcp accept'", "firewall-cmd --reload"}},
		{"nft", web[1:2], []string{"nft add rule inet filter input udp dport 3478 accept"}},
		{"nft", behind[:1], []string{"nft add rule inet filter input ip saddr 10.0.0.0/24 tcp dport 3340 accept", "nft add rule inet filter input ip6 saddr 2001:db8::/64 tcp dport 3340 accept"}},
	} {
		if got := Commands(c.firewall, c.openings); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q, want %q", c.firewall, got, c.want)
		}
	}
}

// A secret that everybody can read is told.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	open, shut := dir+"/open.key", dir+"/shut.key"
	for path, mode := range map[string]os.FileMode{open: 0o644, shut: 0o640} {
		if os.WriteFile(path, nil, 0o600) != nil || os.Chmod(path, mode) != nil {
			t.Fatal("no file")
		}
	}
	c := config.Config{TLS: config.TLS{Cert: open, Key: open}, AdminToken: shut, Access: config.Access{CoordinatorToken: dir + "/none"}}
	want := "note tls.key " + open + " is a secret, and every user of this machine can read it: chmod o= it"
	if runtime.GOOS == "windows" {
		want = ""
	}
	if got := linesOf(Secrets(c)); got != want {
		t.Errorf("%q", got)
	}
}

// Those whom the settings name are asked, and what they say is told.
func TestOthers(t *testing.T) {
	answers := map[string]string{
		"/verify": `{"Allow":false}`, "/all": `{"Allow":true}`, "/page": "<html>", "/directory": `{"newOrder":"https://x/","meta":{"termsOfService":"https://x/terms"}}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, answers[r.URL.Path]) }))
	defer server.Close()
	listening, gone := server.Listener.Addr().String(), "127.0.0.1:1"
	c := config.Defaults()
	c.Hostname = "b.example.com"
	c.Access.Verify = []string{server.URL + "/verify", server.URL + "/all", server.URL + "/page"}
	c.Mesh.With = []string{listening, gone, "b.example.com"}
	c.TLS.Mode, c.ACME.Directory = config.TLSACME, server.URL+"/directory"
	got := strings.Split(linesOf((World{}).Others(t.Context(), c)), "\n")
	want := []string{
		"ok access.verify " + server.URL + "/verify answers, and keeps a stranger out",
		"note access.verify " + server.URL + "/all lets in a key that was made up just now: it lets in everybody",
		"note access.verify " + server.URL + "/page says nothing that a relay could use: ",
		"ok mesh.with " + listening + " answers at " + listening,
		"note mesh.with 127.0.0.1:1 cannot be reached at 127.0.0.1:1 yet: ",
		"ok acme.directory the authority answers; by starting the relay you accept its terms: https://x/terms",
	}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s\nwant %s", got[i], want[i])
		}
	}
	for directory, want := range map[string]string{server.URL + "/page": "is not the directory of an authority", "http://" + gone: "the authority cannot be reached, which is tried again"} {
		c := config.Config{TLS: config.TLS{Mode: config.TLSACME}, ACME: config.ACME{Directory: directory}}
		if got := linesOf((World{}).Others(t.Context(), c)); !strings.Contains(got, want) {
			t.Error(got)
		}
	}
}
