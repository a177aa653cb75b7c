package client

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"github.com/detour-relay/detour/internal/pin"
)

// The reasons why connecting or talking to a relay failed, for errors.Is. A refusal by HTTP status is a *StatusError, for
// errors.As.
var (
	// ErrCertificate: the relay's certificate is not valid for its name. The cause is wrapped.
	ErrCertificate = errors.New("certificate not valid")
	// ErrPinMismatch: the relay's certificate is not the pinned one.
	ErrPinMismatch = pin.ErrMismatch
	// ErrServerKey: the relay has another key than Config.ServerKey, or than its own certificate says.
	ErrServerKey = errors.New("relay has an unexpected key")
	// ErrAdmissionRefused: the relay closed the connection after our login instead of answering it. The cause is wrapped.
	ErrAdmissionRefused = errors.New("relay closed the connection instead of admitting us")
	// ErrProtocol: what answers does not speak DERP, or wrongly.
	ErrProtocol = errors.New("not what a relay may say")
	// ErrSilent: nothing arrived for 120 s.
	ErrSilent = errors.New("relay is silent")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("connection was closed")
	// ErrNotConnected: no relay of the region has us just now. State tells why; reconnecting goes on.
	ErrNotConnected = errors.New("not connected to any relay of the region")
	// ErrNoRegion: a Host does not know which region a peer is in, and has no home yet, or its map has no such region.
	ErrNoRegion = errors.New("no region to send to")
	// ErrPacketSize: a packet is larger than derp.MaxPacket. Nothing was sent; the connection goes on.
	ErrPacketSize = errors.New("packet is too large to send")
	// ErrBufferSize: the buffer given to Recv is too small for the packet. The packet is kept for the next call.
	ErrBufferSize = errors.New("buffer is too small for the packet")
)

// StatusError is the answer of a relay, or of something before it, that did not let us through.
type StatusError struct {
	Code     int    // HTTP status: 426 from a relay that did not see our request to upgrade, 403 from one that refuses us, ...
	Redirect string // where a 3xx status points; relays do not redirect, so it comes from a middlebox, such as a captive portal
	Body     string // at most 1 KiB from the beginning of what came with it
	Proxy    bool   // comes from the HTTP proxy that we asked for the way to the relay
}

// Error names the status and who gave it.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("HTTP status %d %s", e.Code, http.StatusText(e.Code))
	switch {
	case e.Proxy:
		return text + " from the proxy"
	case e.Redirect != "":
		return fmt.Sprintf("%s to %q: a middlebox is in the way", text, e.Redirect)
	}
	return text + " instead of an upgrade"
}

// isTimeout reports whether err is about a deadline.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// isGone reports whether err is about the other side having closed the connection, or the connection being broken.
func isGone(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return true
	}
	if websocket.CloseStatus(err) != -1 {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}
