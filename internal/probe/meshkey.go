package probe

import (
	"context"
	"errors"
	"fmt"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/key"
)

// errNotTold: the relay closed the connection of who asked for its peers.
var errNotTold = errors.New("the relay does not tell us of its peers")

// checkMeshKey asks for the peers of the relay, as only a sibling may, and keeps which siblings are among them.
func (n *node) checkMeshKey(ctx context.Context) Check {
	if n.dial.InsecureSkipVerify {
		return skip("the mesh key does not go to a relay that anybody can be")
	}
	var err error
	for i, k := range n.run.cfg.MeshKeys {
		if n.siblings, err = n.watch(ctx, k); err == nil {
			return ok("%s accepted; siblings linked to the relay: %d", ordinal(i, len(n.run.cfg.MeshKeys)), len(n.siblings))
		}
		if !errors.Is(err, errNotTold) && !errors.Is(err, client.ErrAdmissionRefused) {
			return n.notLoggedIn(err)
		}
	}
	return fail("refused: the relay has no mesh key, or another one").
		do("give the relay the mesh key of the region with --mesh-psk-file, or check with the key that it has")
}

func ordinal(i, of int) string {
	if of == 1 {
		return "the key is"
	}
	return fmt.Sprintf("key %d of %d is", i+1, of)
}

// watch returns the siblings that are connected to the relay. We are among its peers ourselves, somewhere; the answer to a Ping
// that is sent once we have come up is behind all of them.
func (n *node) watch(ctx context.Context, k key.Mesh) (map[key.Public]bool, error) {
	cfg := n.dial
	cfg.MeshKey = k
	p, err := login(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if err := p.conn.WatchConns(); err != nil {
		return nil, err
	}
	select {
	case <-p.listed:
	case <-p.ended:
		return nil, errNotTold
	case <-ctx.Done():
		return nil, fmt.Errorf("the list of peers does not come: %w", context.Cause(ctx))
	}
	if _, err := p.conn.Ping(ctx); err != nil {
		return nil, err
	}
	return p.known(), nil
}
