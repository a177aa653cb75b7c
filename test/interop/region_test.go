package interop

import (
	"crypto/tls"
	"fmt"
	"testing"

	"tailscale.com/types/key"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/test/interop/programs"
)

// newRegion starts meshed relays and waits until peers of each reach peers of all the others.
func newRegion(t *testing.T, siblings ...programs.Sibling) []*programs.Relay {
	t.Helper()
	relays := programs.StartRegion(t, programs.NewMeshKey(), siblings...)
	awaitMesh(t, relays)
	return relays
}

// awaitMesh waits until the relays are linked, each with all the others.
func awaitMesh(t *testing.T, relays []*programs.Relay) {
	t.Helper()
	var scouts []*theirPeer
	for _, r := range relays {
		scouts = append(scouts, newTheirPeer(t, r, byURL, "scout at "+r.Name, key.NewNode()))
	}
	for _, from := range scouts {
		for _, to := range scouts {
			if from != to {
				introduce(t, from, to)
			}
		}
	}
	for _, s := range scouts {
		s.close()
	}
}

// mixed is a region of both programs, each beside its own kind and beside the other.
var mixed = []programs.Sibling{{Program: "detour"}, {Program: "detour", Pinned: true}, {Program: "derper"}, {Program: "derper"}}

// Peers of either kind reach each other across every link of a mixed region, and learn who leaves it.
func TestMixedRegion(t *testing.T) {
	relays := newRegion(t, mixed...)
	theirs := func(r *programs.Relay, name string) endpoint {
		return newTheirPeer(t, r, byRegion(tls.VersionTLS13), name, key.NewNode())
	}
	ours := func(r *programs.Relay, name string) endpoint {
		return newOurPeer(t, client.Config{URL: r.URL, CertName: r.Pin}, name)
	}
	for i, from := range relays {
		for j, to := range relays {
			if i == j {
				continue
			}
			t.Run(fmt.Sprintf("from %s %d to %s %d", from.Name, i, to.Name, j), func(t *testing.T) {
				meet(t, theirs(from, "a"), ours(to, "b"))
				meet(t, ours(from, "a"), theirs(to, "b"))
				probe(t, from, to)
			})
		}
	}
	wantConsistent(t, relays)
}

// meet exchanges packets between two peers, of which one then leaves.
func meet(t *testing.T, a, b endpoint) {
	t.Helper()
	introduce(t, a, b)
	introduce(t, b, a)
	exchange(t, a, b)
	exchange(t, b, a)
	a.leave()
	b.wantGone(t, a.address())
}

// probe does what derpprobe does: fresh clients, then a packet of 8 bytes, which must arrive unchanged from the right source.
func probe(t *testing.T, from, to *programs.Relay) {
	t.Helper()
	a := newTheirPeer(t, from, byProber, "prober a", key.NewNode())
	b := newTheirPeer(t, to, byProber, "prober b", key.NewNode())
	introduce(t, a, b)
	packet := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	a.send(t, b.key, packet)
	b.wantFrom(t, a.address(), packet)
}

// A relay that comes back finds its siblings again, and they find it, whoever restarts and however it ended.
func TestMixedRegionRestarts(t *testing.T) {
	relays := newRegion(t, programs.Sibling{Program: "detour"}, programs.Sibling{Program: "derper"})
	for i, r := range relays {
		t.Run(r.Name, func(t *testing.T) {
			other := relays[1-i]
			stays := newTheirPeer(t, other, byURL, "stays", key.NewNode())
			lost := newTheirPeer(t, r, byURL, "lost", key.NewNode())
			introduce(t, lost, stays)
			introduce(t, stays, lost)
			r.Kill()
			stays.wantGone(t, lost.address())
			r.StartAgain(t)
			awaitMesh(t, relays)
			back := newTheirPeer(t, r, byURL, "back", key.NewNode())
			introduce(t, back, stays)
			introduce(t, stays, back)
			exchange(t, stays, back)
			wantConsistent(t, relays)
		})
	}
}
