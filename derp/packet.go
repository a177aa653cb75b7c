package derp

import "github.com/detour-relay/detour/key"

// AppendSendPacket appends a packet on its way from a peer to its relay.
func AppendSendPacket(b []byte, dst key.Public, packet []byte) []byte {
	return appendKeyed(b, FrameSendPacket, &dst, packet)
}

// ParseSendPacket reads the payload of a SendPacket frame. The packet aliases payload and may be empty.
func ParseSendPacket(payload []byte) (dst key.Public, packet []byte, err error) {
	if len(payload) < KeyLen || len(payload) > KeyLen+MaxPacket {
		return dst, nil, ErrLength
	}
	return key.Public(payload), payload[KeyLen:], nil
}

// AppendRecvPacket appends a packet on its way from a relay to the receiving peer.
func AppendRecvPacket(b []byte, src key.Public, packet []byte) []byte {
	return appendKeyed(b, FrameRecvPacket, &src, packet)
}

// ParseRecvPacket reads the payload of a RecvPacket frame. The packet aliases payload and may be empty.
func ParseRecvPacket(payload []byte) (src key.Public, packet []byte, err error) {
	if len(payload) < KeyLen {
		return src, nil, ErrLength
	}
	return key.Public(payload), payload[KeyLen:], nil
}

// AppendForwardPacket appends a packet on its way from one relay of a region to another.
func AppendForwardPacket(b []byte, src, dst key.Public, packet []byte) []byte {
	b = AppendHeader(b, FrameForwardPacket, 2*KeyLen+len(packet))
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	return append(b, packet...)
}

// ParseForwardPacket reads the payload of a ForwardPacket frame. The packet aliases payload and may be empty.
func ParseForwardPacket(payload []byte) (src, dst key.Public, packet []byte, err error) {
	if len(payload) < 2*KeyLen || len(payload) > 2*KeyLen+MaxPacket {
		return src, dst, nil, ErrLength
	}
	return key.Public(payload), key.Public(payload[KeyLen:]), payload[2*KeyLen:], nil
}

func appendKeyed(b []byte, t FrameType, peer *key.Public, rest []byte) []byte {
	b = AppendHeader(b, t, KeyLen+len(rest))
	b = append(b, peer[:]...)
	return append(b, rest...)
}

const (
	discoMagic  = "TS💬"
	minDiscoLen = 62 // magic, key 32, nonce 24
)

// IsDisco reports whether a packet looks like one of the peers' discovery messages, as opposed to WireGuard traffic. Such
// packets are queued apart, and only they are answered with PeerGone if their destination is unknown.
func IsDisco(packet []byte) bool {
	return len(packet) >= minDiscoLen && string(packet[:len(discoMagic)]) == discoMagic
}
