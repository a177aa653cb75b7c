package proxies

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What the configurations of dist/proxies say, and stands for what is one's own.
const (
	theName    = "relay.example.com"
	theAddress = "203.0.113.7" // public
	theRelay   = "127.0.0.1:3340"
	theSockets = "/run/detour/"
	theChain   = "/etc/letsencrypt/live/relay.example.com/fullchain.pem"
	theKey     = "/etc/letsencrypt/live/relay.example.com/privkey.pem"
)

// An edit replaces a text by another, everywhere. It has to be there.
type edit struct{ old, new string }

func edited(t *testing.T, text string, edits ...edit) string {
	t.Helper()
	for _, e := range edits {
		if !strings.Contains(text, e.old) {
			t.Fatalf("%q is not in it:\n%s", e.old, text)
		}
		text = strings.ReplaceAll(text, e.old, e.new)
	}
	return text
}

// A stand is one proxy with a relay behind it, at an address of their own: ports 443 and
// 80 of it are the proxy's, UDP port 3478 the relay's.
type stand struct {
	dir   string
	addr  string // where they are
	from  string // the address of those who come
	roots *x509.CertPool
	ca    string // file of it

	proxy, relay *process
}

var stands atomic.Int32

// newStand readies the directory with the certificate.
func newStand(t *testing.T) *stand {
	t.Helper()
	dir, err := os.MkdirTemp("", "dp") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // workers have users of their own
		t.Fatal(err)
	}
	n := stands.Add(1)
	s := &stand{dir: dir, addr: fmt.Sprintf("127.1.0.%d", n), from: fmt.Sprintf("127.2.0.%d", n)}
	s.issue(t)
	return s
}

func (s *stand) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stand) write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return s.path(name)
}

// issue makes an authority and a certificate of it, as two files and as one.
func (s *stand) issue(t *testing.T) {
	t.Helper()
	ca, caKey := certificate(t, nil, nil, s.addr)
	leaf, key := certificate(t, ca, caKey, s.addr)
	s.roots = x509.NewCertPool()
	s.roots.AddCert(ca)
	s.ca = s.write(t, "ca.pem", inPEM("CERTIFICATE", ca.Raw))
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain, private := inPEM("CERTIFICATE", leaf.Raw), inPEM("PRIVATE KEY", secret)
	s.write(t, "chain.pem", chain)
	s.write(t, "key.pem", private)
	s.write(t, "both.pem", chain+private)
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// certificate makes one: an authority, or one for the name and the address.
func certificate(t *testing.T, ca *x509.Certificate, caKey *ecdsa.PrivateKey, addr string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "proxies " + addr},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(60 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	parent, signer := ca, caKey
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = template, key
	} else {
		template.DNSNames, template.IPAddresses = []string{theName}, []net.IP{net.ParseIP(addr)}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

// A setup is a proxy as dist/proxies has it ready.
type setup struct {
	name    string
	file    string            // in dist/proxies
	ports   []edit            // where it listens; ADDR stands for the stand's address
	edits   []edit            // what else is one's own; DIR stands for its directory
	around  map[string]string // files that an installation has besides: names and texts
	more    []string          // further files of dist/proxies
	command []string
	release []string // that prints its version
}

// place replaces what stands for the stand in the setup.
func (s *stand) place(text string) string {
	return strings.NewReplacer("ADDR", s.addr, "DIR", s.dir).Replace(text)
}

// own are the edits that make a configuration the stand's own.
func (s *stand) own(edits []edit) (own []edit) {
	for _, e := range edits {
		own = append(own, edit{e.old, s.place(e.new)})
	}
	return own
}

// begin starts a relay, with the settings that the configuration asks for, and the proxy
// before it. Further edits are of the proxy's configuration and of the relay's.
func begin(t *testing.T, c setup, proxy, relay []edit) *stand {
	t.Helper()
	s := newStand(t)
	ready := dist(t, c.file)
	s.startRelay(t, settingsOf(t, ready), relay)
	for name, text := range c.around {
		s.write(t, name, s.place(text))
	}
	for _, name := range c.more {
		s.write(t, name, edited(t, dist(t, name), s.own(everywhere(dist(t, name), c.edits))...))
	}
	text := edited(t, ready, proxy...)
	all := append(s.own(c.ports), s.own(everywhere(text, c.edits))...)
	s.write(t, c.file, edited(t, text, all...))
	args := make([]string, len(c.command))
	for i, arg := range c.command {
		args[i] = s.place(arg)
	}
	s.proxy = start(t, s.dir, args[0], args[1:]...)
	until(t, c.name+" listens", s.proxy, s.listens)
	return s
}

// everywhere are the edits of which something is in the text: those of a setup are for
// several files.
func everywhere(text string, edits []edit) (there []edit) {
	for _, e := range edits {
		if strings.Contains(text, e.old) {
			there = append(there, e)
		}
	}
	return there
}

func dist(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "dist", "proxies", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// settingsOf are the lines of relay.yaml that stand in the head of a configuration,
// indented.
func settingsOf(t *testing.T, text string) string {
	t.Helper()
	var settings strings.Builder
	for line := range strings.Lines(text) {
		if setting, ok := strings.CutPrefix(line, "#     "); ok {
			settings.WriteString(setting)
		}
	}
	if settings.Len() == 0 {
		t.Fatal("its head has no settings of the relay")
	}
	return settings.String()
}

// startRelay starts the relay with settings of relay.yaml.
func (s *stand) startRelay(t *testing.T, settings string, edits []edit) {
	t.Helper()
	text := edited(t, settings, edits...)
	own := everywhere(text, []edit{{theRelay, s.addr + ":3340"}, {theSockets, s.dir + "/"}})
	own = append(own, edit{`stun: ":3478"`, "stun: " + s.addr + ":3478"})
	text = edited(t, text, own...)
	file := s.write(t, "relay.yaml", text+"access: {everyone: true}\ndrain: 0s\nstate-dir: "+s.path("state")+"\n")
	s.relay = start(t, s.dir, program, "relay", "--config", file)
	until(t, "the relay serves", s.relay, func() bool { return strings.Contains(s.relay.said.text(), "relay started") })
}

// listens reports whether the proxy shakes hands, whatever it answers then.
func (s *stand) listens() bool {
	conn, err := tls.Dial("tcp", s.addr+":443", &tls.Config{RootCAs: s.roots, ServerName: theName})
	if err == nil {
		conn.Close()
	}
	return err == nil
}
