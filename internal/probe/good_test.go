package probe

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A region of two relays in which all is well, with everything that there is.
func TestRegionIsGood(t *testing.T) {
	t.Parallel()
	cfg := relay.Config{MeshKeys: []key.Mesh{meshKey}}
	certA, certB := goodCert(t), goodCert(t)
	portA, a := startRelay(t, certA, cfg)
	portB, b := startRelay(t, certB, cfg)
	link(t, a, portB, pinText(certB))
	link(t, b, portA, pinText(certA))
	nodeA, nodeB := mapNode("900a", portA, certA), mapNode("900b", portB, certB)
	nodeA.STUNPort, nodeA.CanPort80 = startSTUN(t), true
	port80 := serve(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(responseHeader, "response "+r.Header.Get(challengeHeader))
		w.WriteHeader(http.StatusNoContent)
	}))
	var done []string
	report := checked(t, Config{
		Map: mapOf(nodeA, nodeB), MeshKeys: []key.Mesh{otherMeshKey, meshKey}, port80: text(port80),
		OnMap:    func([]Check) { done = append(done, "map") },
		OnNode:   func(_ *Region, n *Node) { done = append(done, n.Name) },
		OnRegion: func(r *Region) { done = append(done, r.Code) },
	})
	if got := strings.Join(done, " "); got != "map 900a 900b tst" {
		t.Errorf("done: %s", got)
	}
	want(t, report.Map, "map", OK, "regions: 1, nodes: 2", "")
	checks := report.Regions[0].Nodes[0].Checks
	want(t, checks, "dns", OK, `^127\.0\.0\.1$`, "")
	want(t, checks, "tcp4", OK, `^127\.0\.0\.1 port \d+ in `, "")
	want(t, checks, "tcp6", Skip, `the map says "none"`, "")
	want(t, checks, "proxy", OK, "none", "")
	want(t, checks, "tls", OK, "TLS 1.3, is the pinned certificate", "")
	want(t, checks, "expiry", OK, "30 days left", "")
	want(t, checks, "names", OK, "relay.test, among relay.test, 127.0.0.1", "")
	want(t, checks, "meta", OK, "key matches, fast start", "")
	want(t, checks, "probe", OK, "/derp/probe and /derp/latency-check", "")
	want(t, checks, "upgrade", OK, "101 with an upgrade, 426 without", "")
	want(t, checks, "key", OK, a.PublicKey().String()+" on 5 connections", "")
	want(t, checks, "login", OK, "admitted in", "")
	want(t, checks, "packet", OK, "64 bytes there and back", "")
	want(t, checks, "large", OK, "65536 bytes there and back", "")
	want(t, checks, "ping", OK, "ms$", "")
	want(t, checks, "websocket", OK, "logged in", "")
	want(t, checks, "meshkey", OK, "key 2 of 2 is accepted; siblings linked to the relay: 1", "")
	want(t, checks, "stun4", OK, `127\.0\.0\.1:\d+ in .* we are 127\.0\.0\.1:`, "")
	want(t, checks, "stun6", Skip, "none", "")
	want(t, checks, "port80", OK, "answers, with our challenge$", "")
	want(t, report.Regions[0].Nodes[1].Checks, "port80", OK, "a map may say CanPort80", "")
	want(t, report.Regions[0].Nodes[1].Checks, "stun4", Skip, "STUNPort -1", "")
	between := report.Regions[0].Checks
	want(t, between, "keys", OK, "2 relays", "")
	for _, pair := range []string{"900a 900b", "900b 900a"} {
		want(t, between, "link "+pair, OK, "is linked to", "")
		want(t, between, "mesh "+pair, OK, "there and back in", "")
	}
	if report.Status != OK || report.Regions[0].Nodes[1].ServerKey != b.PublicKey().String() {
		t.Errorf("%+v", report)
	}
}

// The JSON form is stable.
func TestJSON(t *testing.T) {
	n := &Node{Name: "a", URL: "u", Checks: []Check{fail("f").do("r")}}
	report := &Report{Map: []Check{}, Regions: []*Region{{Nodes: []*Node{n}, Checks: []Check{}}}}
	report.sumUp()
	const want = `{"status":"fail","counts":{"ok":0,"warn":0,"fail":1,"skip":0},"map":[],"regions":[{"nodes":[{"name":"a","url":"u",` +
		`"checks":[{"name":"","status":"fail","detail":"f","remedy":"r","took_ms":0}]}],"checks":[]}],"took_ms":0}`
	got, err := json.Marshal(report)
	if err != nil || string(got) != want {
		t.Errorf("%s (%v)\nwant %s", got, err, want)
	}
}

// A relay that is given by its URL, with and without TLS.
func TestURL(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	port, _ := startRelay(t, ca.issue(t, asIs), relay.Config{})
	dial := urlOf("https", port)
	dial.RootCAs = ca.pool()
	checks := checked(t, Config{Dial: dial}).Regions[0].Nodes[0].Checks
	wantNoOther(t, checks)
	want(t, checks, "dns", Skip, "127.0.0.1 is an address", "")
	want(t, checks, "tls", OK, "TLS 1.3, verified$", "")
	want(t, checks, "tcp6", Skip, "other family", "")
	want(t, checks, "stun4", Skip, "a URL does not say", "")
	want(t, checks, "port80", Skip, "does not answer, and nobody says", "")

	port, _ = startRelay(t, nil, relay.Config{})
	checks = checked(t, Config{Dial: urlOf("http", port)}).Regions[0].Nodes[0].Checks
	wantNoOther(t, checks)
	for _, name := range []string{"tls", "expiry", "names", "meta"} {
		want(t, checks, name, Skip, "without TLS", "")
	}
	want(t, checks, "websocket", OK, "logged in", "")
}
