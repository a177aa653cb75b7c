package relaytest

import (
	"fmt"
	"time"

	"github.com/detour-relay/detour/derp"
)

// A Frame is one that a peer has received.
type Frame struct {
	Type    derp.FrameType
	Payload []byte
	At      time.Time
}

// longest payload that the notation spells out.
const spelled = 64

// text writes f in notation.
func (n *names) text(f Frame) string {
	text, err := n.parse(f)
	if err != nil {
		return fmt.Sprintf("broken %v: %v", f.Type, err)
	}
	return text
}

func (n *names) parse(f Frame) (string, error) {
	switch f.Type {
	case derp.FrameRecvPacket:
		src, packet, err := derp.ParseRecvPacket(f.Payload)
		return fmt.Sprintf("RecvPacket(src=%s,%s)", n.name(src), payload(packet)), err
	case derp.FrameForwardPacket:
		src, dst, packet, err := derp.ParseForwardPacket(f.Payload)
		return fmt.Sprintf("ForwardPacket(src=%s,dst=%s,%s)", n.name(src), n.name(dst), payload(packet)), err
	case derp.FrameRestarting:
		in, tryFor, err := derp.ParseRestarting(f.Payload)
		return fmt.Sprintf("Restarting(in=%v,try=%v)", in, tryFor), err
	case derp.FramePeerGone:
		peer, reason, err := derp.ParsePeerGone(f.Payload)
		return fmt.Sprintf("PeerGone(%s,reason=%d)", n.name(peer), reason), err
	case derp.FramePeerPresent:
		p, err := derp.ParsePeerPresent(f.Payload)
		return fmt.Sprintf("PeerPresent(%s,flags=%d)", n.name(p.Key), p.Flags), err
	case derp.FramePong:
		data, err := derp.ParsePong(f.Payload)
		return fmt.Sprintf("Pong(%x)", data), err
	case derp.FrameHealth:
		return fmt.Sprintf("Health(%q)", derp.ParseHealth(f.Payload)), nil
	case derp.FrameKeepAlive:
		return "KeepAlive", nil
	}
	return fmt.Sprintf("%v(%d bytes)", f.Type, len(f.Payload)), nil
}

func payload(p []byte) string {
	if len(p) > spelled {
		return fmt.Sprintf("%d bytes", len(p))
	}
	return fmt.Sprintf("%q", p)
}
