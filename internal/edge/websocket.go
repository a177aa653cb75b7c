package edge

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/relay"
)

// subprotocol is the WebSocket subprotocol that carries DERP.
const subprotocol = "derp"

// wantsWebSocket reports whether a request for Upgrade: websocket means it. The
// reference looks for the name anywhere in the header, so we do, too.
func wantsWebSocket(r *http.Request) bool {
	return strings.Contains(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), subprotocol)
}

// upgradeWebSocket upgrades to a WebSocket whose binary messages carry the DERP
// stream (spec 1.7). It stays pending until the subprotocol is settled.
func (s *Server) upgradeWebSocket(w http.ResponseWriter, r *http.Request, from netip.AddrPort) {
	take := &taker{ResponseWriter: w}
	ws, err := websocket.Accept(take, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // any Origin: what counts is the peer's key
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		s.count.refused.Add(1)
		if take.conn != nil {
			s.drop(take.conn)
		}
		return // otherwise Accept has answered
	}
	reach.Unfinalized(ws)
	if ws.Subprotocol() != subprotocol {
		s.count.refused.Add(1)
		ws.Close(websocket.StatusPolicyViolation, `the subprotocol must be "derp"`) // waits for the peer's answer
		s.drop(take.conn)
		return
	}
	s.count.webSocket.Add(1)
	s.start(newWebSocketStream(ws, transport(take.conn)), take.conn, relay.Origin{Addr: from})
}

// drop closes a connection that net/http has given up and the relay never got.
func (s *Server) drop(c net.Conn) {
	if s.pending.remove(c) {
		closeNow(transport(c))
	}
}

// newWebSocketStream makes a stream of the binary messages. A message may be of
// any size: it is read in pieces, never as a whole. A text message closes the
// connection with 1003.
func newWebSocketStream(ws *websocket.Conn, transport net.Conn) relay.Stream {
	conn := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
	return netio.Blocking(webSocketConn{conn, transport}, nil)
}

// webSocketConn is a WebSocket that closes without waiting for the peer: when
// its transport goes, every call on it fails.
type webSocketConn struct {
	net.Conn
	transport net.Conn
}

// Read drops what comes with an error: bytes of a frame that broke off, which are still
// masked.
func (c webSocketConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (c webSocketConn) Close() error { return c.transport.Close() }

func (c webSocketConn) RoundTrip() time.Duration { return netio.RoundTrip(c.transport) }

// taker remembers the connection that websocket.Accept takes over, and has it
// read through a watched one.
type taker struct {
	http.ResponseWriter
	conn net.Conn
}

// Hijack implements http.Hijacker.
func (t *taker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	buffered, err := rw.Reader.Peek(rw.Reader.Buffered())
	t.conn = conn
	return watch(conn, buffered), rw, err
}
