package derp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// FrameType is the first byte of a frame.
type FrameType byte

// The frame types. C is a peer, M one that holds the mesh key, S a relay.
const (
	FrameServerKey     FrameType = 0x01 // S to C, once: magic, public key of the relay
	FrameClientInfo    FrameType = 0x02 // C to S, once: public key of the peer, sealed JSON
	FrameServerInfo    FrameType = 0x03 // S to C, once: sealed JSON
	FrameSendPacket    FrameType = 0x04 // C to S: destination, packet
	FrameRecvPacket    FrameType = 0x05 // S to C: source, packet
	FrameKeepAlive     FrameType = 0x06 // S to C: empty, no answer
	FrameNotePreferred FrameType = 0x07 // C to S: one byte, whether this relay is the peer's home
	FramePeerGone      FrameType = 0x08 // S to C: key, reason
	FramePeerPresent   FrameType = 0x09 // S to M: key, address, port, flags
	FrameForwardPacket FrameType = 0x0a // M to S: source, destination, packet
	FrameWatchConns    FrameType = 0x10 // M to S: empty; asks for PeerPresent and PeerGone of all peers
	FrameClosePeer     FrameType = 0x11 // M to S: key whose connections are to be closed
	FramePing          FrameType = 0x12 // either: 8 bytes to send back
	FramePong          FrameType = 0x13 // either: the 8 bytes of a Ping
	FrameHealth        FrameType = 0x14 // S to C: text of a problem, empty if there is none any more
	FrameRestarting    FrameType = 0x15 // S to C: when to reconnect, how long to try
)

var frameNames = [...]string{
	FrameServerKey: "ServerKey", FrameClientInfo: "ClientInfo", FrameServerInfo: "ServerInfo",
	FrameSendPacket: "SendPacket", FrameRecvPacket: "RecvPacket", FrameForwardPacket: "ForwardPacket",
	FrameKeepAlive: "KeepAlive", FrameNotePreferred: "NotePreferred",
	FramePeerGone: "PeerGone", FramePeerPresent: "PeerPresent",
	FrameWatchConns: "WatchConns", FrameClosePeer: "ClosePeer",
	FramePing: "Ping", FramePong: "Pong", FrameHealth: "Health", FrameRestarting: "Restarting",
}

// String returns the usual name of t, or its number if it is unknown.
func (t FrameType) String() string {
	if int(t) < len(frameNames) && frameNames[t] != "" {
		return frameNames[t]
	}
	return fmt.Sprintf("frame 0x%02x", byte(t))
}

// Lengths in bytes. Frame limits are lengths of the payload and do not count the header.
const (
	ProtocolVersion = 2

	HeaderLen = 5
	KeyLen    = 32
	PingLen   = 8 // what a Ping carries and a Pong returns

	MaxPacket        = 64 << 10
	MaxPing          = 1000   // more than PingLen is tolerated, up to this
	MinClientInfo    = 56     // a key and the nonce of a box
	MaxClientInfo    = 262144 // the largest login a relay reads
	MaxGreeting      = 1024   // the largest ServerKey a peer reads
	MaxFrameToServer = KeyLen + MaxPacket
	MaxFrameToClient = 1 << 20
)

// Magic is what the payload of ServerKey begins with.
const Magic = "DERP🔑"

// ErrLength is the error for a payload that has a length its frame type cannot have.
var ErrLength = errors.New("derp: frame of impossible length")

// AppendHeader appends the header of a frame whose payload has n bytes.
func AppendHeader(b []byte, t FrameType, n int) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(t)), uint32(n))
}

// PutHeader writes the header of a frame whose payload has n bytes over the first HeaderLen bytes of b.
func PutHeader(b []byte, t FrameType, n int) {
	_ = b[HeaderLen-1]
	b[0] = byte(t)
	binary.BigEndian.PutUint32(b[1:], uint32(n))
}

// ParseHeader reads the first HeaderLen bytes of b, which must be there. The length is as announced, not checked against
// any limit; it is never negative, also where int has 32 bits.
func ParseHeader(b []byte) (t FrameType, n int) {
	_ = b[HeaderLen-1]
	return FrameType(b[0]), int(min(binary.BigEndian.Uint32(b[1:]), math.MaxInt32))
}
