package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/proxyhint"
	"github.com/detour-relay/detour/internal/roster"
	"github.com/detour-relay/detour/key"
)

// checkMeshKey asks for the peers of the relay, as only a sibling may, and keeps
// which siblings are among them. One of ours is, too, and from where it is said to come.
func (n *node) checkMeshKey(ctx context.Context) Check {
	if n.dial.InsecureSkipVerify {
		return skip("the mesh key does not go to a relay that anybody can be")
	}
	p, err := n.login(ctx)
	if err == nil {
		defer p.close()
	}
	ours := func(peer roster.Peer) bool { return p != nil && peer.Key == p.key }
	siblings := siblingsOnly()
	r, err := roster.Open(ctx, roster.Config{
		Dial: n.dial, MeshKeys: n.run.cfg.MeshKeys,
		Keep: func(peer roster.Peer) bool { return ours(peer) || siblings(peer) },
	})
	switch {
	case errors.Is(err, roster.ErrNotTold), errors.Is(err, client.ErrAdmissionRefused):
		return fail("refused: the relay has no mesh key, or another one").
			do("give the relay the mesh key of the region with %s, or check with the key that it has", n.run.cfg.Words.MeshKey)
	case err != nil:
		return n.notLoggedIn(err)
	}
	defer r.Close()
	n.siblings = make(map[key.Public]bool, r.Len())
	var wrong string
	for _, peer := range r.Peers() {
		if ours(peer) {
			if n.proxy == nil { // else it is our proxy that is seen
				wrong = wrongOrigin(addrOf(p.conn.LocalAddr()), addrOf(p.conn.RemoteAddr()), peer.Addr.Addr())
			}
			continue
		}
		n.siblings[peer.Key] = true
	}
	accepted := line("%s accepted; siblings linked to the relay: %d", ordinal(r.MeshKey(), len(n.run.cfg.MeshKeys)), len(n.siblings))
	if wrong != "" {
		return warn("%s; but the relay takes us for coming from %s", accepted, wrong).
			do("name the proxy in the relay's trusted-proxies, and %s", n.haveFront(proxyhint.Origin, "say whom it brings"))
	}
	return ok("%s", accepted)
}

// addrOf is the IP address of a socket's; invalid: it has none.
func addrOf(addr net.Addr) netip.Addr {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr()
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
