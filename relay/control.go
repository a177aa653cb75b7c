package relay

import (
	"fmt"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// otherFrame handles every frame but SendPacket, with the lengths and rights of
// spec 3.4. It returns the frame's length; 0 if it is not complete.
func (c *conn) otherFrame(t derp.FrameType, size int, p []byte, w *work) (n int, err error) {
	handle, err := c.handlerOf(t, size)
	if err != nil {
		return 0, err
	}
	if handle == nil {
		c.server.count.unknownFrames.Add(1)
		c.skip = size
		return derp.HeaderLen, nil
	}
	end := derp.HeaderLen + size
	if len(p) < end {
		return 0, nil
	}
	return end, handle(c, p[derp.HeaderLen:end], w)
}

type frameHandler = func(c *conn, payload []byte, w *work) error

// handlerOf returns what to do with a frame once it has arrived: nil to skip it.
func (c *conn) handlerOf(t derp.FrameType, size int) (frameHandler, error) {
	var handle frameHandler
	legal, privileged := true, false
	switch t {
	case derp.FrameForwardPacket:
		handle, privileged = (*conn).forwardPacket, true
		legal = size >= 2*derp.KeyLen && size <= 2*derp.KeyLen+derp.MaxPacket
	case derp.FrameNotePreferred:
		handle, legal = (*conn).notePreferred, size == 1
	case derp.FrameWatchConns:
		handle, legal, privileged = (*conn).watchConns, size == 0, true
	case derp.FrameClosePeer:
		handle, legal, privileged = (*conn).closePeer, size == derp.KeyLen, true
	case derp.FramePing:
		handle, legal = (*conn).ping, size >= derp.PingLen && size <= derp.MaxPing
	default:
		legal = size <= derp.MaxFrameToServer
	}
	if !legal {
		return nil, badFrame(t, size)
	}
	if privileged && !c.sibling {
		return nil, fmt.Errorf("%w: %v", ErrNotPrivileged, t)
	}
	return handle, nil
}

func badFrame(t derp.FrameType, size int) error {
	return fmt.Errorf("%w: %v of %d bytes", ErrBadFrame, t, size)
}

// ping answers a Ping, unless an answer is waiting already.
func (c *conn) ping(payload []byte, w *work) error {
	data, err := derp.ParsePing(payload)
	if err != nil {
		return err
	}
	c.server.count.pings.Add(1)
	if c.out.pushPong(data) {
		c.server.count.pongs.Add(1)
		w.touch(&c.out)
	}
	return nil
}

func (c *conn) notePreferred(payload []byte, _ *work) error {
	home, err := derp.ParseNotePreferred(payload)
	if err != nil {
		return err
	}
	c.setHome(home)
	return nil
}

// forwardPacket delivers a packet that a sibling forwarded, to a conn of ours or
// to nobody: a packet crosses the mesh once.
func (c *conn) forwardPacket(payload []byte, w *work) error {
	src, dst, packet, err := derp.ParseForwardPacket(payload)
	if err != nil {
		return err
	}
	k := kindOf(packet)
	w.packets[k]++
	w.bytes[k] += len(packet)
	w.forwarded++
	route := c.server.routes.lookup(&dst)
	if route == nil {
		c.unknownDest(dst, packet, DropUnknownDestOnFwd, w)
		return nil
	}
	out := route.active.Load()
	if out == nil {
		c.server.count.drop(DropDupClient, k, 1, len(packet))
		return nil
	}
	out.push(&src, packet, k, w.now)
	w.touch(out)
	return nil
}

func (c *conn) watchConns([]byte, *work) error {
	if c.key != c.server.public {
		c.server.routes.watch(c)
	}
	return nil
}

func (c *conn) closePeer(payload []byte, _ *work) error {
	peer, err := derp.ParseClosePeer(payload)
	if err != nil {
		return err
	}
	c.server.routes.closePeer(peer)
	return nil
}

// Control frames wait in memory up to these bounds. A watching sibling is sent
// one frame of 56 bytes for each peer of the relay.
const (
	peerControlLimit    = 16 << 10
	siblingControlLimit = 64 << 20
)

func (c *conn) controlLimit() int {
	if c.sibling {
		return siblingControlLimit
	}
	return peerControlLimit
}

// pushHealth tells the peer about a problem, or with "" that it is over.
func (c *conn) pushHealth(problem string) {
	c.out.pushControl(derp.AppendHealth(nil, problem), c.controlLimit())
}

// pushPeerGone tells the peer that another has left the region.
func (c *conn) pushPeerGone(peer key.Public) {
	if c.out.pushControl(derp.AppendPeerGone(nil, peer, derp.ReasonDisconnected), c.controlLimit()) {
		c.server.count.peerGone[derp.ReasonDisconnected].Add(1)
	}
}
