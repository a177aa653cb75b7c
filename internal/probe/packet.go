package probe

import (
	"context"
	"errors"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
)

const (
	smallPacket = 64              // bytes
	resend      = 2 * time.Second // a relay may drop a packet
)

// checkPing wants a Pong. Clients that get none take the connection for dead.
func (n *node) checkPing(ctx context.Context) Check {
	took, err := n.a.conn.Ping(ctx)
	if err != nil {
		return fail("no Pong comes back").do("take a relay that keeps to the protocol: clients close connections that do not answer")
	}
	return ok("%s", short(took))
}

// checkPacket sends a packet through two identities, there and back.
func (n *node) checkPacket(ctx context.Context) Check {
	var err error
	if n.b, err = n.login(ctx); err != nil {
		return n.notLoggedIn(err)
	}
	return n.thereAndBack(ctx, smallPacket)
}

// checkLarge sends the largest packet there is.
func (n *node) checkLarge(ctx context.Context) Check {
	c := n.thereAndBack(ctx, derp.MaxPacket)
	if limited := n.a.conn.Stats().LimitedPackets + n.b.conn.Stats().LimitedPackets; c.Status == Fail && limited > 0 {
		return warn("not sent: the relay asks for at most %d bytes at once", n.a.info.TokenBucketBytesBurst).
			do("raise the burst of the relay's rate limit to more than %d bytes", derp.MaxPacket)
	}
	if c.lost {
		c.Detail = line("a packet of %d bytes is lost, though one of %d bytes comes through", derp.MaxPacket, smallPacket)
		return c.do("the path loses large packets (MTU): let ICMP \"fragmentation needed\" through, or lower the MTU " +
			"(or clamp the MSS) of the tunnel between; if that is not it, see the relay's counters of drops")
	}
	return c
}

func (n *node) thereAndBack(ctx context.Context, size int) Check {
	started := time.Now()
	for _, way := range [][2]*peer{{n.a, n.b}, {n.b, n.a}} {
		if _, err := pass(ctx, way[0], way[1], size, resend); err != nil {
			return n.notPassed(size, err)
		}
	}
	return ok("%d bytes there and back in %s", size, short(time.Since(started)))
}

func (n *node) notPassed(size int, err error) Check {
	switch {
	case errors.Is(err, errLost):
		c := fail("a packet of %d bytes is lost: both peers are logged in, but nothing arrives", size)
		c.lost = true
		return c.do("see the relay's counters of drops; if there are several relays behind %s, see key", n.host)
	case errors.Is(err, errChanged):
		return fail("a packet of %d bytes arrives with other bytes than were sent", size).
			do("do not use this relay: what it passes on is broken")
	case errors.Is(err, errSource):
		return fail("a packet arrives as from a key that did not send it").
			do("do not use this relay: peers take each other's packets for somebody else's")
	}
	return fail("a packet of %d bytes ends the connection: %s", size, n.trim(err)).do("see the relay's log")
}

// checkWebSocket logs in as a browser does, and sends a packet to itself.
func (n *node) checkWebSocket(ctx context.Context) Check {
	cfg := n.dial
	cfg.WebSocket, cfg.MeshKey = client.WebSocketAlways, n.meshKey
	p, err := login(ctx, cfg)
	if errors.Is(err, client.ErrAdmissionRefused) && n.lacks["login"] != "" {
		return skip("needs login")
	}
	if err != nil {
		return n.noWebSocket(err)
	}
	defer p.close()
	started := time.Now()
	if _, err := pass(ctx, p, p, smallPacket, resend); err != nil {
		return n.notPassed(smallPacket, err)
	}
	return ok("logged in; %d bytes to itself in %s", smallPacket, short(time.Since(started)))
}

func (n *node) noWebSocket(err error) Check {
	text := n.webText(err)
	if refusal, isStatus := errors.AsType[*client.StatusError](err); isStatus {
		c := n.refused(refusal)
		if n.wantsTLS(refusal.Code) {
			return c
		}
		c.Detail = line("browsers cannot connect: %s", c.Detail)
		if _, known := n.knownRefusal(refusal); known {
			return c
		}
		return c.do(passWebSocketOn)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		text = "no answer"
	}
	return n.webTrouble(err, "browsers cannot connect: %s", text).do(passWebSocketOn)
}

const passWebSocketOn = "have what stands before the relay pass on Upgrade: websocket and Sec-WebSocket-Protocol: derp"
