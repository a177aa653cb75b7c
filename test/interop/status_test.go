package interop

import (
	"io"
	"net/http"
	"testing"

	"github.com/detour-relay/detour/test/interop/programs"
)

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
