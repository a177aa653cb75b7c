package relay

import (
	"fmt"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// otherFrame handles every frame but SendPacket, with the lengths and rights of
// spec 3.4. It returns the frame's length; 0 if it is not complete.
func (c *conn) otherFrame(t derp.FrameType, size int, p []byte, b *burst) (n int, err error) {
	if t == derp.FrameForwardPacket && c.sibling {
		return c.forwardFrame(size, p, b)
	}
	known, err := c.check(t, size)
	if err != nil {
		return 0, err
	}
	if !known {
		b.others++
		b.unknown++
		c.skip = uint32(size)
		return derp.HeaderLen, nil
	}
	end := derp.HeaderLen + size
	if len(p) < end {
		return 0, nil
	}
	b.others++
	return end, c.control(t, p[derp.HeaderLen:end], b)
}

// check tells from its header whether a frame is one for us, and fails if its
// length is impossible or the peer may not send it.
func (c *conn) check(t derp.FrameType, size int) (known bool, err error) {
	known, legal, privileged := true, false, false
	switch t {
	case derp.FrameForwardPacket:
		legal, privileged = legalForward(size), true
	case derp.FrameNotePreferred:
		legal = size == 1
	case derp.FrameWatchConns:
		legal, privileged = size == 0, true
	case derp.FrameClosePeer:
		legal, privileged = size == derp.KeyLen, true
	case derp.FramePing:
		legal = size >= derp.PingLen && size <= derp.MaxPing
	default:
		known, legal = false, size <= derp.MaxFrameToServer
	}
	if !legal {
		return false, badFrame(t, size)
	}
	if privileged && !c.sibling {
		return false, fmt.Errorf("%w: %v", ErrNotPrivileged, t)
	}
	return known, nil
}

func (c *conn) control(t derp.FrameType, payload []byte, b *burst) error {
	switch t {
	case derp.FrameNotePreferred:
		return c.notePreferred(payload)
	case derp.FrameWatchConns:
		return c.watchConns(b.now)
	case derp.FrameClosePeer:
		return c.closePeer(payload)
	case derp.FramePing:
		return c.ping(payload, b)
	}
	return badFrame(t, len(payload))
}

func badFrame(t derp.FrameType, size int) error {
	return fmt.Errorf("%w: %v of %d bytes", ErrBadFrame, t, size)
}

// ping answers a Ping, unless an answer is waiting already.
func (c *conn) ping(payload []byte, b *burst) error {
	data, err := derp.ParsePing(payload)
	if err != nil {
		return err
	}
	b.pings++
	if c.out.pushPong(data) {
		c.server.count.pongs.Add(1)
		b.touch(&c.out, 0)
	}
	return nil
}

func (c *conn) notePreferred(payload []byte) error {
	home, err := derp.ParseNotePreferred(payload)
	if err != nil {
		return err
	}
	c.setHome(home)
	return nil
}

// watchConns tells a sibling of all peers. One that asks again is told again (spec
// 6.3), but not as often as it likes: each time costs 56 bytes for every peer.
func (c *conn) watchConns(now int64) error {
	if (c.key != c.server.public || c.twin) && c.mayAnswer(now) {
		c.server.routes.watch(c)
	}
	return nil
}

func (c *conn) closePeer(payload []byte) error {
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
