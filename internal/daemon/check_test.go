package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
)

// linesOf are the findings as lines.
func linesOf(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s\n", f.Level, f.Err.Error())
	}
	return b.String()
}

// expired returns a certificate for 127.0.0.1 that is over, and its key.
func expired(t *testing.T) (cert, private string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestCheckFindsAllThereIs(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	coordinator := server.URL
	good := config.Defaults()
	good.Listen, good.STUN, good.TLS.Mode, good.StateDir, good.AdminSocket = "127.0.0.1:0", config.STUNOff, config.TLSOff, dir, config.AdminSocketOff
	for want, change := range map[string]func(*config.Config){
		"ok the settings fit together\nok relay-key " + dir + "/relay.key is made at start\nok listen 127.0.0.1:0 is free\n": func(*config.Config) {},

		"error listen: listen tcp " + taken.Addr().String():     func(c *config.Config) { c.Listen = taken.Addr().String() },
		"error admin: listen tcp " + taken.Addr().String():      func(c *config.Config) { c.Admin = taken.Addr().String() },
		"error stun: STUN: cannot listen on UDP 192.0.2.1:3478": func(c *config.Config) { c.STUN = "192.0.2.1:3478" },
		"error listen :0 can be reached by others, and nothing": func(c *config.Config) { c.Listen = ":0" },
		"error tls.cert: certificate file: open /nowhere":       func(c *config.Config) { c.TLS = config.TLS{Mode: config.TLSFiles, Cert: "/nowhere", Key: "/nowhere"} },
		"error tls.cert: the certificate in use has expired: peers refuse it": func(c *config.Config) {
			cert, private := expired(t)
			c.TLS, c.Hostname = config.TLS{Mode: config.TLSFiles, Cert: file("old.pem", cert, 0o600), Key: file("old.key", private, 0o600)}, "127.0.0.1"
		},
		"note tls.key is the credential k, which only": func(c *config.Config) {
			c.TLS = config.TLS{Mode: config.TLSFiles, Cert: "/nowhere", Key: "credential:k"}
		},
		"error relay-key: key file " + dir:                       func(c *config.Config) { c.RelayKey = file("bad.key", "nonsense", 0o600) },
		"error mesh.ca: open /nowhere":                           func(c *config.Config) { c.Mesh.CA, c.Mesh.With = "/nowhere", []string{"a"} },
		"error mesh.with, mesh.dns and mesh.srv need the":        func(c *config.Config) { c.Mesh.With = []string{"a"} },
		"error mesh.with: mesh: DNS name 1, \"192.0.2.1\"":       func(c *config.Config) { c.Mesh.DNS = []string{"192.0.2.1"} },
		"error mesh.key-file: mesh key file: open /nowhere":      func(c *config.Config) { c.Mesh.KeyFile = "/nowhere" },
		"note mesh.key-file every user of this machine can read": func(c *config.Config) { c.Mesh.KeyFile = file("mesh.key", strings.Repeat("ab", 32), 0o644) },
		"error access.keys: stat /nowhere":                       func(c *config.Config) { c.Access.Keys = []string{"/nowhere"} },
		"ok access.keys " + dir + "/keys: keys that may come in: 1": func(c *config.Config) {
			c.Access.Keys = []string{file("keys", "nodekey:"+strings.Repeat("ab", 32)+"\n", 0o600)}
		},
		"note access.everyone lets in": func(c *config.Config) { c.Access.Everyone = true },
		"error access.verify-ca: ":     func(c *config.Config) { c.Access.Verify, c.Access.VerifyCA = []string{"https://a"}, "/nowhere" },
		"note access.coordinator http://127.0.0.1:1 cannot say who may come in: it cannot be reached": func(c *config.Config) {
			c.Access.Coordinator = []string{"http://127.0.0.1:1"}
		},
		"ok access.coordinator " + coordinator + " answers": func(c *config.Config) {
			c.Access.Coordinator, c.Access.CoordinatorToken = []string{coordinator}, file("token", "secret", 0o600)
		},
		"error access.coordinator " + coordinator + " cannot say who may come in: it wants a token": func(c *config.Config) {
			c.Access.Coordinator, c.Access.CoordinatorToken = []string{coordinator}, file("other", "hunter2", 0o600)
		},
		"error access.coordinator-token: open /nowhere": func(c *config.Config) {
			c.Access.Coordinator, c.Access.CoordinatorToken = []string{coordinator}, "/nowhere"
		},
		"error quota.webhook: open /nowhere":               func(c *config.Config) { c.Quota.Hard, c.Quota.Webhook = 1, "/nowhere" },
		"error quota.webhook: " + dir + "/hook has no URL": func(c *config.Config) { c.Quota.Hard, c.Quota.Webhook = 1, file("hook", "hunter2", 0o600) },
		"error admin-token: open /nowhere": func(c *config.Config) {
			c.AdminHTTPS, c.AdminToken, c.TLS.Mode, c.Hostname = "127.0.0.1:0", "/nowhere", config.TLSSelf, "relay.example"
		},
		"error drain -1ns: want a time to spread the departure of the peers over, or 0 for none\nerror log.level \"loud\": choose": func(c *config.Config) {
			c.Drain, c.Log.Level = -1, "loud"
		},
	} {
		c := good
		change(&c)
		if got := linesOf(Check(t.Context(), c)); !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("got\n%swant %s", got, want)
		}
	}
}

// A relay that runs with the settings has the addresses: that is no fault of theirs.
func TestCheckKnowsTheRelayThatRuns(t *testing.T) {
	c := secured(t)
	c.Access.Managed = true
	d := open(t, c, Options{})
	run(t, d)
	c.Listen = d.State().Listen
	want := fmt.Sprintf("note listen %s is in use by the relay that runs (pid %d)\n", c.Listen, os.Getpid())
	if got := linesOf(Check(t.Context(), c)); !strings.Contains(got, want) || strings.Contains(got, "error") {
		t.Errorf("got\n%swant %s", got, want)
	}
}
