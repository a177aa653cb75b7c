package prober

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/test/interop/programs"
)

var detour = programs.Sibling{Program: "detour"}

func TestProber(t *testing.T) {
	n := newNetwork(t)
	relays := n.start(t, 901, detour, detour, detour)
	n.start(t, 902, detour)
	programs.AwaitLinks(t, relays, 2)
	t.Run("all is well", func(t *testing.T) { n.wantBad(t, nil) })
	t.Run("a relay is dead", func(t *testing.T) {
		relays[1].Kill()
		n.wantBad(t, func(name string) bool { return strings.Contains(name, "/901b/") })
	})
	t.Run("it is back", func(t *testing.T) {
		relays[1].StartAgain(t)
		programs.AwaitLinks(t, relays, 2)
		n.wantBad(t, nil)
	})
}

// A relay with another mesh key is well in itself, but no packet crosses from or to it.
func TestProberOfABrokenMesh(t *testing.T) {
	n := newNetwork(t)
	relays := n.start(t, 901, detour, detour, programs.Sibling{Program: "detour", MeshKey: programs.NewMeshKey()})
	programs.AwaitLinks(t, relays[:2], 1)
	n.wantBad(t, func(name string) bool {
		mesh := strings.HasSuffix(name, "/mesh") || strings.HasSuffix(name, "/bw")
		return mesh && strings.Contains(name, "/901c/") && !strings.Contains(name, "/901c/901c/")
	})
}

// wantBad fails the test unless the prober made all its probes, and those that bad names failed, and no other; nil: none.
func (n *network) wantBad(t *testing.T, bad func(name string) bool) {
	t.Helper()
	found := n.probe(t, 10*time.Second)
	names := n.expected()
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, names) {
		t.Errorf("the prober made these probes: %v\nwant %v", got, names)
	}
	for _, name := range names {
		if why := found[name]; (why != "") != (bad != nil && bad(name)) {
			t.Errorf("%s: %q", name, why)
		}
	}
}
