package interop

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/detour-relay/detour/test/interop/programs"
)

// status is what this package reads of our relay's status page.
type status struct {
	Relay struct {
		WrongMeshKeys uint64           `json:"wrong_mesh_keys"`
		Links         []map[string]any `json:"links"`
	} `json:"relay"`
}

func statusOf(t *testing.T, relay *programs.Relay) (s status) {
	t.Helper()
	response, err := http.Get(relay.Admin + "/status")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// wantConsistent fails the test if a relay of ours finds its own tables inconsistent.
func wantConsistent(t *testing.T, relays []*programs.Relay) {
	t.Helper()
	for _, r := range relays {
		if r.Admin == "" {
			continue
		}
		response, err := http.Get(r.Admin + "/check")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("%s at %v says %s: %s, %v", r.Name, r.Addr, response.Status, text, err)
		}
	}
}
