package wgbind

import (
	"net/netip"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/detour-relay/detour/internal/direct"
	"github.com/detour-relay/detour/key"
)

// An Endpoint is a peer to the device.
type Endpoint struct {
	key   key.Public
	bytes []byte
	ip    netip.Addr
	path  atomic.Pointer[direct.Path] // nil: over the relay
}

var _ conn.Endpoint = (*Endpoint)(nil)

func newEndpoint(k key.Public) *Endpoint {
	var ip [16]byte
	ip[0] = 0xfd
	copy(ip[1:], k[:])
	return &Endpoint{key: k, bytes: k[:], ip: netip.AddrFrom16(ip)}
}

// Key is the peer's.
func (e *Endpoint) Key() key.Public { return e.key }

// DstToString is the key's text, which ParseEndpoint takes.
func (e *Endpoint) DstToString() string { return e.key.String() }

// DstToBytes is the key, to which the device ties its cookies.
func (e *Endpoint) DstToBytes() []byte { return e.bytes }

// DstIP is fd and the first 15 bytes of the key: nobody's address, but each peer has
// another, by which the device counts handshakes.
func (e *Endpoint) DstIP() netip.Addr { return e.ip }

// SrcToString is empty: a relay's connection has nothing to choose from.
func (e *Endpoint) SrcToString() string { return "" }

// SrcIP is no address.
func (e *Endpoint) SrcIP() netip.Addr { return netip.Addr{} }

// ClearSrc does nothing.
func (e *Endpoint) ClearSrc() {}
