package client

import (
	"errors"
	"net"

	"github.com/detour-relay/detour/internal/reach"
)

// The reasons why connecting or talking to a relay failed, for errors.Is. A refusal
// by HTTP status is a *StatusError, for errors.As.
var (
	// ErrCertificate: the relay's certificate is not valid for its name. The cause
	// is wrapped.
	ErrCertificate = reach.ErrCertificate
	// ErrPinMismatch: the relay's certificate is not the pinned one.
	ErrPinMismatch = reach.ErrPinMismatch
	// ErrServerKey: the relay has another key than Config.ServerKey, or than its
	// own certificate says.
	ErrServerKey = errors.New("relay has an unexpected key")
	// ErrAdmissionRefused: the relay closed the connection after our login instead
	// of answering it. The cause is wrapped.
	ErrAdmissionRefused = errors.New("relay closed the connection instead of admitting us")
	// ErrProtocol: what answers does not speak DERP, or wrongly.
	ErrProtocol = reach.ErrProtocol
	// ErrSilent: nothing arrived for 120 s.
	ErrSilent = errors.New("relay is silent")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("connection was closed")
	// ErrNotConnected: no relay of the region has us just now. State tells why;
	// reconnecting goes on.
	ErrNotConnected = errors.New("not connected to any relay of the region")
	// ErrNoRegion: a Host does not know which region a peer is in, and has no home
	// yet, or its map has no such region.
	ErrNoRegion = errors.New("no region to send to")
	// ErrPacketSize: a packet is larger than derp.MaxPacket. Nothing was sent; the
	// connection goes on.
	ErrPacketSize = errors.New("packet is too large to send")
	// ErrBufferSize: the buffer given to Recv is too small for the packet. The
	// packet is kept for the next call.
	ErrBufferSize = errors.New("buffer is too small for the packet")
)

// StatusError is the answer of a relay, or of something before it, that did not let
// us through. Its fields are
//
//	Code     int    // HTTP status: 426 from a relay that did not see our request to upgrade, ...
//	Redirect string // where a 3xx status points; relays do not redirect, so it comes from a middlebox
//	Body     string // at most 1 KiB from the beginning of what came with it
//	Proxy    bool   // comes from the HTTP proxy that we asked for the way to the relay
type StatusError = reach.StatusError

// ProxyError is a failure on the way to the HTTP proxy, or the proxy's own, so that
// the relay has no part in it. Its fields are
//
//	Proxy string // host and port; empty: which proxy to use could not be found out
//	Err   error
type ProxyError = reach.ProxyError

// NotHTTPError tells of something else than HTTP where the answer to our request was
// expected. It wraps ErrProtocol.
type NotHTTPError = reach.NotHTTPError

// isTimeout reports whether err is about a deadline.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
