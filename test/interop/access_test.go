package interop

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"tailscale.com/tailcfg"
	"tailscale.com/types/key"

	"github.com/detour-relay/detour/client"
	ourkey "github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/programs"
)

// A controller that knows the reference's types of the admission request and its answer decides who comes in.
func TestAdmissionByTheirTypes(t *testing.T) {
	welcome := key.NewNode()
	controller := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request tailcfg.DERPAdmitClientRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Source != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("asked with %+v, %v", request, err)
		}
		json.NewEncoder(w).Encode(tailcfg.DERPAdmitClientResponse{Allow: request.NodePublic == welcome.Public()})
	}))
	defer controller.Close()
	relay := programs.StartDetour(t, "--access-verify", controller.URL+"/verify")
	newTheirPeer(t, relay, byURL, "welcome", welcome)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := client.Login(ctx, client.Config{URL: relay.URL, CertName: relay.Pin, Key: ourkey.NewPrivate()})
	if err == nil {
		conn.Close()
		t.Error("a stranger got in")
	}
	relay.AwaitLog(t, "says no")
}
