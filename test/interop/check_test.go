package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/test/interop/mapnode"
	"github.com/detour-relay/detour/test/interop/programs"
)

// checkReport is what this package reads of "detour check --json".
type checkReport struct {
	Regions []struct {
		Nodes []struct {
			Name   string       `json:"name"`
			Checks []checkEntry `json:"checks"`
		} `json:"nodes"`
		Checks []checkEntry `json:"checks"`
	} `json:"regions"`
}

type checkEntry struct {
	Name   string `json:"name"`
	From   string `json:"from"`
	To     string `json:"to"`
	Status string `json:"status"`
	Detail string `json:"detail"`
}

// Our check finds nothing wrong with the reference's relays, nor with the mesh between them and ours.
func TestCheckOfMixedRegion(t *testing.T) {
	relays := newRegion(t, mixed...)
	region := &tailcfg.DERPRegion{RegionID: 900, RegionCode: "mix", RegionName: "Mixed"}
	for _, r := range relays {
		node := *mapnode.Of(r)
		region.Nodes = append(region.Nodes, &node)
	}
	report := check(t, relays[0].MeshKey, &tailcfg.DERPMap{Regions: map[tailcfg.DERPRegionID]*tailcfg.DERPRegion{900: region}})
	for _, n := range report.Regions[0].Nodes {
		wantAllRight(t, n.Name, n.Checks)
	}
	wantAllRight(t, "region", report.Regions[0].Checks)
	if links := 2 * len(relays) * (len(relays) - 1); len(report.Regions[0].Checks) != 1+links {
		t.Errorf("%d checks between the nodes, want one of the keys and %d of links and mesh", len(report.Regions[0].Checks), links)
	}
}

// wantAllRight allows warnings: on a busy machine a relay may tell of a peer late.
func wantAllRight(t *testing.T, of string, checks []checkEntry) {
	t.Helper()
	for _, c := range checks {
		if c.Status == "fail" {
			t.Errorf("%s: %s %s %s: %s", of, c.Name, c.From, c.To, c.Detail)
		}
	}
}

// check runs the command. It may find fault with the map, whose addresses are those of this machine.
func check(t *testing.T, meshKey string, m *tailcfg.DERPMap) (report checkReport) {
	t.Helper()
	program, err := programs.Detour()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	secret, path := filepath.Join(dir, "mesh.key"), filepath.Join(dir, "map.json")
	for name, content := range map[string][]byte{secret: []byte(meshKey), path: text} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(program, "check", "--json", "--mesh-psk-file", secret, path).Output()
	if jsonErr := json.Unmarshal(out, &report); jsonErr != nil || len(report.Regions) != 1 {
		t.Fatalf("%v, %v: %s", err, jsonErr, out)
	}
	return report
}
