package membercmd

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// A peer is printed when what is shown of it has changed, and not otherwise: the first
// events tell of peers that were printed at the start.
func TestAPeerIsPrintedWhenItHasChanged(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		p := newPrinter(&out, asJSON)
		lines := func() int {
			defer out.Reset()
			return strings.Count(out.String(), "\n")
		}
		anna := tailnet.Peer{Key: key.Public{1}, Name: "anna", Home: 900}
		p.begin(tailnet.Self{}, []tailnet.Peer{anna}, "state")
		lines()
		disco, moved, named := anna, anna, anna
		disco.Disco, moved.Home, named.Name = key.Public{9}, 901, "hanna"
		named.Addresses = []netip.Addr{netip.MustParseAddr("100.64.0.1")}
		ben := tailnet.Peer{Key: key.Public{2}}
		for i, c := range []struct {
			event tailnet.EventType
			peer  tailnet.Peer
			want  int
		}{
			{tailnet.PeerAdded, anna, 0},
			{tailnet.PeerChanged, disco, 0},
			{tailnet.PeerChanged, moved, 1},
			{tailnet.PeerChanged, named, 1},
			{tailnet.PeerChanged, named, 0},
			{tailnet.PeerGone, ben, 0},
			{tailnet.PeerAdded, ben, 1},
			{tailnet.PeerGone, ben, 1},
			{tailnet.PeerAdded, ben, 1},
		} {
			if p.event(nil, tailnet.Event{Type: c.event, Peer: c.peer}); lines() != c.want {
				t.Errorf("%d: %s of %s: want %d lines", i, c.event, describe(c.peer), c.want)
			}
		}
	}
}
