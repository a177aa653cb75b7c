package coordserver

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/config"
)

// Each wrong setting has its one clear answer.
func TestSettingsThatCannotBe(t *testing.T) {
	three := []string{"a=10.0.0.1:6222", "b=10.0.0.2:6222", "c=10.0.0.3:6222"}
	for want, change := range map[string]func(*Config){
		"tls.mode is missing":                 func(c *Config) { c.Front.TLS.Mode = "" },
		"tls.mode self needs hostname":        func(c *Config) { c.Front.Hostname = "" },
		"dev is plain HTTP":                   func(c *Config) { c.Front.Dev = true },
		"contact is missing: without TLS":     func(c *Config) { c.Front.TLS.Mode, c.Front.Listen = config.TLSOff, ":80" },
		`contact "x": want the URL`:           func(c *Config) { c.Contacts = []string{"x"} },
		"64 lowercase hex digits after":       func(c *Config) { c.Contacts = []string{"https://a.example=sha256-raw:00"} },
		"contact has too many":                func(c *Config) { c.Contacts = strings.Split(strings.Repeat("https://a.example,", 9), ",")[:9] },
		"cluster names 2 coordinators":        func(c *Config) { c.Cluster = three[:2] },
		"name is missing: say which one":      func(c *Config) { c.Cluster = three },
		`name "d" is not in cluster`:          func(c *Config) { c.Cluster, c.Name = three, "d" },
		"cluster-secret is missing":           func(c *Config) { c.Cluster, c.Name = three, "a" },
		"want NAME=HOST:PORT":                 func(c *Config) { c.Cluster = []string{"10.0.0.1:6222"} },
		"is like another one":                 func(c *Config) { c.Cluster = []string{three[0], three[0], three[1]} },
		"no such port":                        func(c *Config) { c.Cluster = []string{"a=10.0.0.1:0"} },
		"name is for cluster":                 func(c *Config) { c.Name = "a" },
		"cluster-secret is for cluster":       func(c *Config) { c.ClusterSecret = "x" },
		"nats is an engine of its own":        func(c *Config) { c.NATS, c.Cluster = []string{"nats://a:1"}, three },
		"nats-ca is for nats":                 func(c *Config) { c.NATSCA = "x" },
		"nats-credentials is for nats":        func(c *Config) { c.NATSCredentials = "x" },
		`nats "http://a": want URLs such as`:  func(c *Config) { c.NATS = []string{"http://a"} },
		"nats has a password in a URL":        func(c *Config) { c.NATS = []string{"nats://u:geheim@a:1"} },
		"map-ca has no effect":                func(c *Config) { c.MapCA = "x" },
		"admin-https needs admin-token":       func(c *Config) { c.Front.AdminHTTPS = ":1" },
		"only loopback addresses":             func(c *Config) { c.Front.Admin = ":1" },
		"listen \"x\": want host:port":        func(c *Config) { c.Front.Listen = "x" },
		"drain -1ns: want a time to spread":   func(c *Config) { c.Front.Drain = -1 },
		"state-dir \"~/x\": ~ is the home di": func(c *Config) { c.Front.StateDir = "~/x" },
	} {
		c := Defaults()
		c.Front.TLS.Mode, c.Front.Hostname = config.TLSSelf, "coord.example"
		change(&c)
		if _, err := c.Complete(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSettingsThatFit(t *testing.T) {
	pinned := "https://a.example=sha256-raw:" + strings.Repeat("ab", 32)
	for name, change := range map[string]func(*Config){
		"alone":        func(*Config) {},
		"behind proxy": func(c *Config) { c.Front.TLS.Mode, c.Contacts = config.TLSOff, []string{"https://a.example"} },
		"this machine": func(c *Config) { c.Front.TLS.Mode, c.Front.Listen = config.TLSOff, "127.0.0.1:1" },
		"pinned":       func(c *Config) { c.Contacts = []string{pinned, "https://b.example"} },
		"cluster": func(c *Config) {
			c.Cluster, c.Name, c.ClusterSecret = []string{"a=10.0.0.1:6222", "b=b.example:6222", "c=[fd00::1]:6222"}, "c", "file"
		},
		"nats": func(c *Config) { c.NATS = []string{"tls://a:4222", "nats://b:4222"} },
	} {
		c := Defaults()
		c.Front.TLS.Mode, c.Front.Hostname = config.TLSSelf, "coord.example"
		change(&c)
		done, err := c.Complete()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if contacts, _ := done.contacts(); name == "pinned" && (len(contacts) != 2 || !contacts[0].HasPin() || contacts[0].URL != "https://a.example" || contacts[1].HasPin()) {
			t.Errorf("%+v", contacts)
		}
	}
	c := Defaults()
	c.Front.Dev = true
	if c, err := c.Complete(); err != nil || c.Front.Listen != DevListen || c.Front.TLS.Mode != config.TLSOff {
		t.Errorf("%+v, %v", c.Front, err)
	}
}

func TestSecrets(t *testing.T) {
	long := strings.Repeat("0a", 32)
	for text, want := range map[string]string{
		"":                                 "there is no secret in it",
		"# only talk\n":                    "there is no secret in it",
		"geheim\n":                         "secret 1 has 6 characters",
		long + "\ngeheim":                  "secret 2 has 6 characters",
		"# first\n" + long + "\n\n" + long: "",
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := readSecrets(path)
		switch {
		case want == "":
			if err != nil || len(all) != 2 || !bytes.Equal(all[0], []byte(long)) {
				t.Errorf("%q: %q, %v", text, all, err)
			}
		case err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim"):
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestRoom(t *testing.T) {
	for limit, want := range map[uint64]int{0: 0, 1 << 40: 0, 400: 300, 1024: 768, 20_000: 19_744, 1 << 20: 1<<20 - 256} {
		if got := room(limit); got != want {
			t.Errorf("%d: %d", limit, got)
		}
	}
}
