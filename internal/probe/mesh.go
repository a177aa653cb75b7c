package probe

import (
	"context"
	"errors"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

const (
	// derpprobe gives the relays of a region so long to tell each other of new
	// peers (spec 17.1).
	meshTime = 100 * time.Millisecond
	// meshTimeout is how long they may take before the packets count as lost.
	meshTimeout = 5 * time.Second
)

// checkLink asks the one relay whether it is the other that is connected to it.
// What a relay forwards goes over the connection that it has dialled itself, so
// each direction counts for itself (spec 6.1).
func checkLink(_ context.Context, from, to *node) Check {
	switch {
	case to.siblings == nil:
		return skip("needs meshkey of %s", to.name())
	case !to.siblings[from.serverKey()]:
		return fail("%s is not linked to %s", from.name(), to.name()).do("%s", meshRemedy(from, to))
	}
	return ok("%s is linked to %s", from.name(), to.name())
}

// checkMesh sends packets between fresh peers on two nodes, there and back.
func checkMesh(ctx context.Context, from, to *node) Check {
	a, err := from.login(ctx)
	if err != nil {
		return from.notThere(err)
	}
	defer a.close()
	b, err := to.login(ctx)
	if err != nil {
		return to.notThere(err)
	}
	defer b.close()
	return meet(ctx, from, to, a, b)
}

// meet has two peers send to each other until both have heard from each other.
func meet(ctx context.Context, from, to *node, a, b *peer) Check {
	ctx, cancel := context.WithTimeout(ctx, meshTimeout)
	defer cancel()
	admitted := time.Now()
	retry.Rest(ctx, meshTime, nil)
	started := time.Now()
	there, err := pass(ctx, a, b, smallPacket, meshTime)
	if err != nil {
		return notMeshed(from, to, err)
	}
	back, err := pass(ctx, b, a, smallPacket, meshTime)
	if err != nil {
		return notMeshed(to, from, err)
	}
	if there > 1 || back > 1 {
		return warn("there and back, but only %s after the login of the peers", short(time.Since(admitted))).
			do("see whether %s and %s are overloaded, or far apart: packets get lost when a peer comes, and derpprobe waits %v",
				from.name(), to.name(), meshTime)
	}
	return ok("there and back in %s", short(time.Since(started)))
}

// notThere explains why a peer could not log in any more, where an earlier one
// could.
func (n *node) notThere(err error) Check {
	c := n.notLoggedIn(err)
	c.Detail = line("%s: %s", n.name(), c.Detail)
	return c
}

func notMeshed(from, to *node, err error) Check {
	switch {
	case errors.Is(err, errLost):
		return fail("packets from peers on %s do not reach peers on %s", from.name(), to.name()).
			do("%s", meshRemedy(from, to))
	case errors.Is(err, errChanged), errors.Is(err, errSource):
		return fail("a packet from %s to %s: %v", from.name(), to.name(), err).
			do("do not use these relays: what they pass on is broken")
	}
	return fail("a packet from %s to %s ends a connection: %v", from.name(), to.name(), err).do("see the logs of both relays")
}

func meshRemedy(from, to *node) string {
	return line("name %s in %s of %s, give both the same mesh key, and see the log of %s",
		to.addr(), from.run.cfg.Words.MeshWith, from.name(), from.name())
}
