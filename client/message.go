package client

import (
	"net/netip"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// MessageKind says what a Message is about, and which of its fields mean something.
type MessageKind byte

const (
	MessagePacket      MessageKind = iota + 1 // a packet came: Peer, Packet
	MessageServerInfo                         // the relay has admitted us, or its limits have changed: ServerInfo
	MessagePeerGone                           // a peer is not reachable: Peer, Reason
	MessagePeerPresent                        // after WatchConns, a peer connected: Peer, Addr, Flags, AppName
	MessageHealth                             // a problem the user should know of, or its end: Health
	MessageRestarting                         // the relay goes down: ReconnectIn, TryFor
	MessageKeepAlive                          // the relay is there
	MessagePong                               // an answer to a Ping of ours, of which Ping knows too: Pong
)

var messageNames = [...]string{
	MessagePacket: "packet", MessageServerInfo: "server info", MessagePeerGone: "peer gone", MessagePeerPresent: "peer present",
	MessageHealth: "health", MessageRestarting: "restarting", MessageKeepAlive: "keep-alive", MessagePong: "pong",
}

// String returns the kind in words.
func (k MessageKind) String() string {
	if int(k) < len(messageNames) && k != 0 {
		return messageNames[k]
	}
	return "unknown message"
}

// Message is what Recv returns. Fields that do not belong to its Kind are zero.
type Message struct {
	Kind   MessageKind
	Region int // where it came in, from a Host; otherwise 0
	Peer   key.Public
	Packet []byte // inside the buffer given to Recv

	Reason derp.Reason

	Addr    netip.AddrPort // invalid if the relay is too old to say, [::]:0 if it does not know
	Flags   derp.PresenceFlags
	AppName string // only from newer relays

	Pong        [derp.PingLen]byte
	Health      string // empty: the problem is over
	ReconnectIn time.Duration
	TryFor      time.Duration
	ServerInfo  derp.ServerInfo
}
