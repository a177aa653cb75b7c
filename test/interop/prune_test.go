package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tailscale.com/derp"

	"github.com/detour-relay/detour/test/interop/programs"
)

// Our tools for operators work on derper as on our own relay: they list real clients, and send those back that are not on
// the node they want.
func TestPeersAndPruneOfAMixedRegion(t *testing.T) {
	relays := newRegion(t, programs.Sibling{Program: "detour"}, programs.Sibling{Program: "derper"})
	secret := filepath.Join(t.TempDir(), "mesh.key")
	if err := os.WriteFile(secret, []byte(relays[0].MeshKey), 0o600); err != nil {
		t.Fatal(err)
	}
	var astray, home []*visitor
	for _, r := range relays {
		astray = append(astray, newVisitor(t, r, derp.PeerPresentNotIdeal))
		home = append(home, newVisitor(t, r, derp.PeerPresentIsRegular))
	}
	run := func(into any, args ...string) {
		t.Helper()
		program, err := programs.Detour()
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "--json", "--insecure", "--mesh-psk-file", secret)
		out, err := exec.CommandContext(t.Context(), program, args...).Output()
		if err == nil {
			err = json.Unmarshal(out, into)
		}
		if err != nil {
			t.Fatalf("detour %v: %v\n%s", args, err, out)
		}
	}
	for i, r := range relays {
		var listed struct {
			Peers []struct {
				Key   string   `json:"key"`
				Flags []string `json:"flags"`
			} `json:"peers"`
		}
		run(&listed, "peers", "list", r.URL)
		flags := map[string][]string{}
		for _, p := range listed.Peers {
			flags[p.Key] = p.Flags
		}
		if got := flags[astray[i].key.String()]; len(got) != 1 || got[0] != "not-ideal" {
			t.Errorf("%s: the peer that is astray is listed with %q", r.Name, got)
		}
		if got, there := flags[home[i].key.String()]; !there || len(got) != 0 {
			t.Errorf("%s: the peer that is at home is listed with %q", r.Name, got)
		}
	}
	var pruned struct {
		NotIdeal int `json:"not_ideal"`
		Closed   int `json:"closed"`
	}
	run(&pruned, "prune", "--rate", "100", relays[0].URL, relays[1].URL)
	if pruned.NotIdeal != 2 || pruned.Closed != 2 {
		t.Errorf("pruned %+v, want 2", pruned)
	}
	for i, v := range astray {
		if m, err := v.Recv(); err == nil {
			t.Errorf("%s: the peer that is astray got %v instead of the end", relays[i].Name, m)
		}
	}
}
