package programs

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Sibling is a relay of a region that is to be started.
type Sibling struct {
	Program string   // "detour", "derper", or "place": ours in derper's place
	MeshKey string   // 64 hex digits; empty: that of the region
	Args    []string // besides those that the region needs
	With    []string // ours only: where it finds the others; empty: where they are
	Pinned  bool     // ours only: it verifies its siblings by pin instead of by root
}

// NewMeshKey returns a mesh key as a file holds it.
func NewMeshKey() string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	return hex.EncodeToString(secret[:])
}

// Region is relays that are meshed, each with all others.
type Region struct {
	ID        int        // 0: 900
	Authority *Authority // of their certificate; nil: it is its own issuer, and the map pins it
	STUN      bool       // they answer it, at the number of their TCP port
}

// StartRegion starts a region of relays with a certificate that is its own issuer, without STUN.
func StartRegion(t testing.TB, meshKey string, siblings ...Sibling) []*Relay {
	t.Helper()
	return Region{}.Start(t, meshKey, siblings...)
}

// A seat is the place of the i-th relay of a region.
type seat struct {
	Region
	dir   string // has the certificate of all
	own   string // directory
	addrs []netip.AddrPort
	i     int
}

// Start starts the relays of a region. All show one certificate; derper, which knows no pins for siblings, finds the root of it in
// SSL_CERT_FILE. They end with the test. Which of them have found each other already when it returns is open.
func (g Region) Start(t testing.TB, meshKey string, siblings ...Sibling) []*Relay {
	t.Helper()
	dir := t.TempDir()
	if err := g.Authority.issue(dir); err != nil {
		t.Fatal(err)
	}
	addrs := make([]netip.AddrPort, len(siblings)) // before any starts, because each names the others
	for i := range siblings {
		addrs[i] = FreeAddr(t)
	}
	var all []*Relay
	for i, s := range siblings {
		if s.MeshKey == "" {
			s.MeshKey = meshKey
		}
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(own, "mesh.key"), []byte(s.MeshKey+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		at := seat{Region: g, dir: dir, own: own, addrs: addrs, i: i}
		var r *Relay
		if s.Program != "detour" {
			r = s.derper(t, at)
		} else {
			r = s.detour(t, at)
		}
		r.Addr, r.URL, r.MeshKey = addrs[i], "https://"+addrs[i].String()+"/derp", s.MeshKey
		r.awaitTLS(t)
		r.Node = g.node(r, i)
		all = append(all, r)
	}
	return all
}

// node is what a DERP map says of the i-th relay.
func (g Region) node(r *Relay, i int) Node {
	id := cmp.Or(g.ID, 900)
	node := Node{
		Name: fmt.Sprintf("%d%c", id, 'a'+i), RegionID: id, HostName: Host, IPv4: Host, IPv6: "none",
		DERPPort: int(r.Addr.Port()), STUNPort: -1, CertName: r.Pin,
	}
	if g.Authority != nil {
		node.HostName, node.CertName = Name, ""
	}
	if g.STUN {
		node.STUNPort = node.DERPPort
	}
	return node
}

// roots is the file that verifies the certificate of all.
func (at seat) roots() string {
	if at.Authority != nil {
		return at.Authority.File
	}
	return at.path(CertFile)
}

func (at seat) addr() netip.AddrPort       { return at.addrs[at.i] }
func (at seat) path(name string) string    { return filepath.Join(at.dir, name) }
func (at seat) ownPath(name string) string { return filepath.Join(at.own, name) }

// derper starts the relay with the reference's command line.
func (s Sibling) derper(t testing.TB, at seat) *Relay {
	t.Helper()
	name, build := "derper", Derper
	if s.Program == "place" {
		name, build = "detour as derper", Place
	}
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, name, program, append([]string{
		"-a", at.addr().String(), "-http-port=-1", "-c", at.ownPath("derper.key"),
		fmt.Sprintf("-stun=%v", at.STUN), fmt.Sprintf("-stun-port=%d", at.addr().Port()),
		"-certmode=manual", "-certdir", at.dir, "-hostname=" + Host,
		"-mesh-psk-file", at.ownPath("mesh.key"),
	}, append(at.withOthers(""), s.Args...)...), "SSL_CERT_FILE="+at.roots())
}

// detour starts it with ours.
func (s Sibling) detour(t testing.TB, at seat) *Relay {
	t.Helper()
	program, err := Detour()
	if err != nil {
		t.Fatal(err)
	}
	trust := at.withOthers("")
	if s.With != nil {
		trust = []string{"--mesh-with", strings.Join(s.With, ",")}
	}
	if trust != nil {
		trust = append(trust, "--mesh-ca", at.roots())
	}
	if s.Pinned {
		certificate, err := readCertificate(at.path(CertFile))
		if err != nil {
			t.Fatal(err)
		}
		trust = at.withOthers("=" + pinOf(certificate))
	}
	stun := "off"
	if at.STUN {
		stun = at.addr().String()
	}
	admin := FreeAddr(t)
	args := append([]string{
		"relay", "--listen", at.addr().String(), "--stun", stun, "--hostname", Host, "--state-dir", at.own, "--log-format", "json",
		"--self-check", "off", // tests say who is connected when
		"--tls", "files", "--cert", at.path(CertFile), "--key", at.path(KeyFile),
		"--mesh-psk-file", at.ownPath("mesh.key"), "--admin", admin.String(), "--drain", "0",
	}, trust...)
	r := start(t, "detour", program, append(args, s.Args...))
	r.Admin = "http://" + admin.String()
	return r
}

// withOthers is the flag that names the siblings, without which a relay only admits some.
func (at seat) withOthers(suffix string) []string {
	if len(at.addrs) == 1 {
		return nil
	}
	var names []string
	for j, addr := range at.addrs {
		if j != at.i {
			names = append(names, addr.String()+suffix)
		}
	}
	return []string{"--mesh-with", strings.Join(names, ",")}
}
