package derp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/detour-relay/detour/key"
)

// AppendNotePreferred appends the note whether the relay is the peer's home.
func AppendNotePreferred(b []byte, preferred bool) []byte {
	b = AppendHeader(b, FrameNotePreferred, 1)
	if preferred {
		return append(b, 1)
	}
	return append(b, 0)
}

// ParseNotePreferred reads the payload of a NotePreferred frame: one byte, anything but zero means yes.
func ParseNotePreferred(payload []byte) (preferred bool, err error) {
	if len(payload) != 1 {
		return false, ErrLength
	}
	return payload[0] != 0, nil
}

// Reason says why a PeerGone frame was sent. Other values may come from newer relays.
type Reason byte

const (
	// ReasonDisconnected: the peer has left the region; to a watcher: it has left this relay.
	ReasonDisconnected Reason = 0x00
	// ReasonNotHere: nobody in the region knows the key that a discovery packet was just sent to.
	ReasonNotHere Reason = 0x01
)

// String returns what the reason says in a few words.
func (r Reason) String() string {
	switch r {
	case ReasonDisconnected:
		return "disconnected"
	case ReasonNotHere:
		return "not here"
	}
	return fmt.Sprintf("reason 0x%02x", byte(r))
}

// AppendPeerGone appends the news that a peer is not, or not any more, reachable through the relay.
func AppendPeerGone(b []byte, peer key.Public, reason Reason) []byte {
	b = AppendHeader(b, FramePeerGone, KeyLen+1)
	b = append(b, peer[:]...)
	return append(b, byte(reason))
}

// ParsePeerGone reads the payload of a PeerGone frame. Old relays leave the reason out, which means disconnected.
func ParsePeerGone(payload []byte) (peer key.Public, reason Reason, err error) {
	if len(payload) < KeyLen {
		return peer, 0, ErrLength
	}
	if len(payload) > KeyLen {
		reason = Reason(payload[KeyLen])
	}
	return key.Public(payload), reason, nil
}

// PresenceFlags describes a connection to watchers. Zero means that the relay is too old to say.
type PresenceFlags byte

// The flags. PresenceRegular stands alone; the others combine.
const (
	PresenceRegular  PresenceFlags = 1 << iota // none of the others
	PresenceMesh                               // holds the mesh key
	PresenceProber                             // is a monitoring program
	PresenceNotIdeal                           // would rather be on another relay of the region
)

// Presence tells a watcher about one connection of a peer.
type Presence struct {
	Key     key.Public
	Addr    netip.AddrPort // invalid: the relay is too old to say; [::]:0: the relay does not know
	Flags   PresenceFlags
	AppName string // only from newer relays; see ValidAppName
}

const (
	addrLen         = 16 + 2
	presenceAddrEnd = KeyLen + addrLen
)

// AppendPeerPresent appends the news of a connection. An invalid Addr goes out as [::]:0, and an empty or invalid AppName
// not at all.
func AppendPeerPresent(b []byte, p Presence) []byte {
	n, named := presenceAddrEnd+1, p.AppName != "" && ValidAppName(p.AppName)
	if named {
		n += 1 + len(p.AppName)
	}
	b = AppendHeader(b, FramePeerPresent, n)
	b = append(b, p.Key[:]...)
	b = appendAddr(b, p.Addr)
	b = append(b, byte(p.Flags))
	if named {
		b = append(b, byte(len(p.AppName)))
		b = append(b, p.AppName...)
	}
	return b
}

func appendAddr(b []byte, addr netip.AddrPort) []byte {
	var ip [16]byte
	if addr.IsValid() {
		ip = addr.Addr().As16()
	}
	return binary.BigEndian.AppendUint16(append(b, ip[:]...), addr.Port())
}

// ParsePeerPresent reads the payload of a PeerPresent frame. Older relays leave out the flags, or the flags and the
// address. What newer ones add after the application name is ignored, and so is a name that is cut off or not valid.
func ParsePeerPresent(payload []byte) (Presence, error) {
	if len(payload) < KeyLen {
		return Presence{}, ErrLength
	}
	p := Presence{Key: key.Public(payload)}
	if len(payload) >= presenceAddrEnd {
		p.Addr = parseAddr(payload[KeyLen:])
	}
	if len(payload) > presenceAddrEnd {
		p.Flags = PresenceFlags(payload[presenceAddrEnd])
		p.AppName = parseAppName(payload[presenceAddrEnd+1:])
	}
	return p, nil
}

func parseAddr(b []byte) netip.AddrPort {
	ip := netip.AddrFrom16([16]byte(b)).Unmap()
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[16:]))
}

func parseAppName(b []byte) string {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return ""
	}
	name := string(b[1 : 1+int(b[0])])
	if !ValidAppName(name) {
		return ""
	}
	return name
}

// AppendWatchConns appends the request to be told about all peers.
func AppendWatchConns(b []byte) []byte { return AppendHeader(b, FrameWatchConns, 0) }

// ParseWatchConns checks the payload of a WatchConns frame, which is empty.
func ParseWatchConns(payload []byte) error {
	if len(payload) != 0 {
		return ErrLength
	}
	return nil
}

// AppendClosePeer appends the request to close all connections of a peer.
func AppendClosePeer(b []byte, peer key.Public) []byte {
	return appendKeyed(b, FrameClosePeer, &peer, nil)
}

// ParseClosePeer reads the payload of a ClosePeer frame.
func ParseClosePeer(payload []byte) (peer key.Public, err error) {
	if len(payload) != KeyLen {
		return peer, ErrLength
	}
	return key.Public(payload), nil
}
