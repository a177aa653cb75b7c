package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/key"
)

// writeOld puts a certificate into a state directory that ends in a month.
func writeOld(t *testing.T, dir string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-300 * 24 * time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "self-127.0.0.1.pem"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// The nodes for both certificates stand in one map: clients come in before the change and
// after it.
func TestMapPin(t *testing.T) {
	dir, err := os.MkdirTemp("", "d") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := daemon.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := quiet(t)
	c.Listen, c.StateDir, c.Access.Everyone = listener.Addr().String(), filepath.Join(dir, "s"), true
	writeOld(t, c.StateDir)
	relay := runTestRelay(t, c, listener)

	status, stdout, stderr := runLine("map", "pin", "--admin-socket", relay.State().Socket, "--json")
	var nodes []struct {
		From, Until time.Time
		Node        derpmap.Node
	}
	if err := json.Unmarshal([]byte(stdout), &nodes); err != nil || status != 0 || len(nodes) != 2 {
		t.Fatalf("%d, %s%s: %v", status, stdout, stderr, err)
	}
	now := relay.State().Certificate
	if nodes[0].Node.CertName != now.Pin || nodes[1].Node.CertName != now.NextPin || !nodes[0].Until.Equal(nodes[1].From) || !nodes[1].From.Equal(*now.NextFrom) {
		t.Errorf("%+v of %+v", nodes, now)
	}
	both := []derpmap.Node{nodes[0].Node, nodes[1].Node}
	for _, change := range []string{"before", "after"} {
		if at := admittedAt(t, both); at != slices.IndexFunc(both, func(n derpmap.Node) bool { return n.CertName == now.Pin }) {
			t.Errorf("%s the change it is node %d", change, at)
		}
		slices.Reverse(both) // as the relay is seen then: the first has another pin than it shows
	}

	status, stdout, stderr = runLine("map", "pin", "--admin-socket", relay.State().Socket)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if status != 0 || len(lines) != 5 || !strings.HasPrefix(lines[0], "until ") || !strings.HasPrefix(lines[2], "from ") || !strings.Contains(lines[4], "both in the map") {
		t.Errorf("%d, %s%s", status, stdout, stderr)
	}
	text := `{"Regions": {"900": {"RegionID": 900, "RegionCode": "a", "RegionName": "A", "Nodes": [` + lines[1] + "," + lines[3] + `]}}}`
	changing := false
	for _, f := range derpmap.Lint([]byte(text), derpmap.LintConfig{}) {
		if changing = changing || f.Code == "pin-change"; f.Severity == derpmap.Error {
			t.Errorf("a map with both: %v", f)
		}
	}
	if !changing {
		t.Error("nobody says that the pin is about to change")
	}
}

// admittedAt is the node of a region at which a client comes in.
func admittedAt(t *testing.T, nodes []derpmap.Node) int {
	t.Helper()
	base := client.Config{Key: key.NewPrivate()}
	connected := make(chan int, 10)
	config := client.RegionConfig{OnState: func(s client.RegionState) {
		if s.Connected {
			connected <- s.Node
		}
	}}
	for _, n := range nodes {
		config.Nodes = append(config.Nodes, client.RelayConfig{Name: n.Name, Config: base.AtNode(&n)})
	}
	r, err := client.NewRegion(config)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return <-connected
}

func TestMapPinOfOthers(t *testing.T) {
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := quiet(t)
	c.TLS.Mode, c.AdminSocket = "off", filepath.Join(dir, "a.sock")
	runTestRelay(t, c, nil)
	if status, stdout, stderr := runLine("map", "pin", "--admin-socket", c.AdminSocket); status != 1 || !strings.Contains(stderr, "no TLS") {
		t.Errorf("%d, %s%s", status, stdout, stderr)
	}
}
