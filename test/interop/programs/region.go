package programs

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tailscale.com/tailcfg"
)

// Sibling is a relay of a region that is to be started.
type Sibling struct {
	Program string   // "detour" or "derper"
	MeshKey string   // 64 hex digits; empty: that of the region
	Args    []string // besides those that the region needs
	Pinned  bool     // ours only: it verifies its siblings by pin instead of by root
}

// NewMeshKey returns a mesh key as a file holds it.
func NewMeshKey() string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	return hex.EncodeToString(secret[:])
}

// StartRegion starts relays that are meshed, each with all others. All show one certificate, which is its own issuer; derper,
// which knows no pins for siblings, finds it as a root in SSL_CERT_FILE. They end with the test. Which of them have found
// each other already when it returns is open.
func StartRegion(t testing.TB, meshKey string, siblings ...Sibling) []*Relay {
	t.Helper()
	dir := t.TempDir()
	if err := WriteCertificate(dir); err != nil {
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
		var r *Relay
		if s.Program == "derper" {
			r = s.derper(t, dir, own, addrs, i)
		} else {
			r = s.detour(t, dir, own, addrs, i)
		}
		r.Addr, r.URL, r.MeshKey = addrs[i], "https://"+addrs[i].String()+"/derp", s.MeshKey
		r.awaitTLS(t)
		r.Node = tailcfg.DERPNode{
			Name: fmt.Sprintf("900%c", 'a'+i), RegionID: 900, HostName: Host, IPv4: Host, IPv6: "none",
			DERPPort: int(r.Addr.Port()), STUNPort: -1, CertName: r.Pin,
		}
		all = append(all, r)
	}
	return all
}

// derper starts the i-th relay of the region with the reference's program.
func (s Sibling) derper(t testing.TB, dir, own string, addrs []netip.AddrPort, i int) *Relay {
	t.Helper()
	program, err := Derper()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, "derper", program, append([]string{
		"-a", addrs[i].String(), "-http-port=-1", "-stun=false", "-c", filepath.Join(own, "derper.key"),
		"-certmode=manual", "-certdir", dir, "-hostname=" + Host,
		"-mesh-psk-file", filepath.Join(own, "mesh.key"),
	}, append(withOthers(addrs, i, ""), s.Args...)...), "SSL_CERT_FILE="+filepath.Join(dir, CertFile))
}

// detour starts it with ours.
func (s Sibling) detour(t testing.TB, dir, own string, addrs []netip.AddrPort, i int) *Relay {
	t.Helper()
	program, err := Detour()
	if err != nil {
		t.Fatal(err)
	}
	trust := withOthers(addrs, i, "")
	if trust != nil {
		trust = append(trust, "--mesh-ca", filepath.Join(dir, CertFile))
	}
	if s.Pinned {
		certificate, err := readCertificate(filepath.Join(dir, CertFile))
		if err != nil {
			t.Fatal(err)
		}
		trust = withOthers(addrs, i, "="+pinOf(certificate))
	}
	admin := FreeAddr(t)
	args := append([]string{
		"relay", "--listen", addrs[i].String(), "--stun", "off", "--hostname", Host, "--state-dir", own, "--log-format", "json",
		"--self-check", "off", // tests say who is connected when
		"--tls", "files", "--cert", filepath.Join(dir, CertFile), "--key", filepath.Join(dir, KeyFile),
		"--mesh-psk-file", filepath.Join(own, "mesh.key"), "--admin", admin.String(), "--drain", "0",
	}, trust...)
	r := start(t, "detour", program, append(args, s.Args...))
	r.Admin = "http://" + admin.String()
	return r
}

// withOthers is the flag that names the siblings, without which a relay only admits some.
func withOthers(addrs []netip.AddrPort, i int, suffix string) []string {
	if len(addrs) == 1 {
		return nil
	}
	return []string{"--mesh-with", others(addrs, i, suffix)}
}

// others names the siblings of the i-th relay, as --mesh-with wants them.
func others(addrs []netip.AddrPort, i int, suffix string) string {
	var names []string
	for j, addr := range addrs {
		if j != i {
			names = append(names, addr.String()+suffix)
		}
	}
	return strings.Join(names, ",")
}
