package probe

import (
	"context"
	"errors"
	"fmt"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/roster"
	"github.com/detour-relay/detour/key"
)

// checkMeshKey asks for the peers of the relay, as only a sibling may, and keeps
// which siblings are among them.
func (n *node) checkMeshKey(ctx context.Context) Check {
	if n.dial.InsecureSkipVerify {
		return skip("the mesh key does not go to a relay that anybody can be")
	}
	r, err := roster.Open(ctx, roster.Config{Dial: n.dial, MeshKeys: n.run.cfg.MeshKeys, Keep: siblingsOnly()})
	switch {
	case errors.Is(err, roster.ErrNotTold), errors.Is(err, client.ErrAdmissionRefused):
		return fail("refused: the relay has no mesh key, or another one").
			do("give the relay the mesh key of the region with %s, or check with the key that it has", n.run.cfg.Words.MeshKey)
	case err != nil:
		return n.notLoggedIn(err)
	}
	defer r.Close()
	n.siblings = make(map[key.Public]bool, r.Len())
	for _, p := range r.Peers() {
		n.siblings[p.Key] = true
	}
	return ok("%s accepted; siblings linked to the relay: %d", ordinal(r.MeshKey(), len(n.run.cfg.MeshKeys)), r.Len())
}

// maxSiblings bounds what is kept of what a relay says.
const maxSiblings = 1024

// siblingsOnly chooses the peers that hold the mesh key, up to a bound.
func siblingsOnly() func(roster.Peer) bool {
	left := maxSiblings
	return func(p roster.Peer) bool {
		if p.Flags&derp.PresenceMesh == 0 || left == 0 {
			return false
		}
		left--
		return true
	}
}

func ordinal(i, of int) string {
	if of == 1 {
		return "the key is"
	}
	return fmt.Sprintf("key %d of %d is", i+1, of)
}
