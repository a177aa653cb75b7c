package interop

import (
	"testing"
	"time"

	"tailscale.com/types/key"

	"github.com/detour-relay/detour/test/interop/programs"
)

// A derper with another mesh key is no sibling: nothing crosses, and our relay says why, in its log and on its status page.
func TestWrongMeshKey(t *testing.T) {
	relays := programs.StartRegion(t, programs.NewMeshKey(),
		programs.Sibling{Program: "detour"}, programs.Sibling{Program: "derper", MeshKey: programs.NewMeshKey()})
	ours, theirs := relays[0], relays[1]
	ours.AwaitLog(t, "a peer has a mesh key that is not ours")
	s := ours.Status(t)
	if s.Relay.WrongMeshKeys == 0 || len(s.Relay.Links) != 0 {
		t.Errorf("%d logins with another mesh key, %d links", s.Relay.WrongMeshKeys, len(s.Relay.Links))
	}
	a := newTheirPeer(t, ours, byURL, "a", key.NewNode())
	b := newTheirPeer(t, theirs, byURL, "b", key.NewNode())
	a.send(t, b.key, []byte("hello"))
	b.send(t, a.key, []byte("hello"))
	for _, p := range []*theirPeer{a, b} {
		if packet, ok := p.within(500 * time.Millisecond); ok {
			t.Errorf("%s received %q", p.name, packet)
		}
	}
}
