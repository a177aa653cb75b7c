package edge

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/detour-relay/detour/derp"
)

// dialWebSocket opens a WebSocket to a server with the offered subprotocols.
func dialWebSocket(t *testing.T, s *Server, subprotocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	return dialWebSocketOver(t, s, nil, subprotocols...)
}

// dialWebSocketOver dials over what a function connects to; nil: the server's address.
func dialWebSocketOver(t *testing.T, s *Server, dial func(ctx context.Context, network, address string) (net.Conn, error), subprotocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: dial}
	t.Cleanup(transport.CloseIdleConnections)
	url := "ws://" + s.Addr().String() + "/derp"
	if s.config.TLS != nil {
		url = strings.Replace(url, "ws:", "wss:", 1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	ws, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient:      &http.Client{Transport: transport},
		HTTPHeader:      http.Header{"Origin": {"https://elsewhere.example"}},
		Subprotocols:    subprotocols,
		CompressionMode: websocket.CompressionContextTakeover, // must be refused
	})
	if err == nil {
		t.Cleanup(func() { ws.CloseNow() })
	}
	return ws, response, err
}

// webSocketStream is a byte stream of binary messages.
func webSocketStream(t *testing.T, ws *websocket.Conn) net.Conn {
	c := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
	c.SetDeadline(time.Now().Add(timeout))
	return c
}

func webSocketServers(t *testing.T) map[string]*Server {
	r := testRelay(t)
	return map[string]*Server{
		"plain": start(t, Config{Relay: r}),
		"TLS":   start(t, Config{Relay: r, TLS: selfTLS(t)}),
	}
}

func TestWebSocket(t *testing.T) {
	for name, s := range webSocketServers(t) {
		t.Run(name, func(t *testing.T) {
			ws, response, err := dialWebSocket(t, s, "derp")
			if err != nil {
				t.Fatal(err)
			}
			if ws.Subprotocol() != "derp" || response.Header.Get("Sec-WebSocket-Extensions") != "" {
				t.Errorf("subprotocol %q, extensions %q", ws.Subprotocol(), response.Header.Get("Sec-WebSocket-Extensions"))
			}
			c := webSocketStream(t, ws)
			p := newPeer(s.config.Relay.PublicKey())
			wantBytes(t, c, derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
			for _, b := range p.clientInfo() { // message boundaries mean nothing
				send(t, c, []byte{b})
			}
			p.wantServed(t, c)
			eventually(t, "the round trip of its TCP", func() bool {
				known := false
				for p := range s.config.Relay.Peers {
					known = known || p.RoundTrip > 0
				}
				return known == (runtime.GOOS == "linux")
			})

			// The largest packet, with others around it in one message.
			big := make([]byte, derp.MaxPacket)
			var message []byte
			for range 4 {
				message = derp.AppendSendPacket(message, p.key.Public(), big)
			}
			send(t, c, message)
			for range 4 {
				kind, payload := frame(t, c)
				if kind != derp.FrameRecvPacket || len(payload) != derp.KeyLen+derp.MaxPacket {
					t.Fatalf("received %v of %d bytes", kind, len(payload))
				}
			}
			ws.Close(websocket.StatusNormalClosure, "")
			eventually(t, "the conn gone", func() bool { return s.Snapshot().Serving == 0 })
		})
	}
}

func wantClosed(t *testing.T, ws *websocket.Conn, want websocket.StatusCode) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for {
		_, _, err := ws.Read(ctx)
		if err == nil {
			continue // what was sent before the close
		}
		if got := websocket.CloseStatus(err); got != want {
			t.Errorf("closed with %v (%v), want %v", got, err, want)
		}
		return
	}
}

func TestWebSocketWrongSubprotocol(t *testing.T) {
	for name, s := range webSocketServers(t) {
		for _, offered := range []string{"xderpx", "derp2", "xderp"} {
			ws, _, err := dialWebSocket(t, s, offered)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			wantClosed(t, ws, websocket.StatusPolicyViolation)
		}
		eventually(t, "nothing left", func() bool { return s.Snapshot().Pending == 0 })
		if got := s.Snapshot(); got.WebSocket != 0 || got.Serving != 0 || got.Refused != 3 {
			t.Errorf("%s: %d upgraded, %d served, %d refused", name, got.WebSocket, got.Serving, got.Refused)
		}
	}
}

// A peer that never answers the close of a wrong subprotocol is still bounded.
func TestWebSocketWrongSubprotocolStaysPending(t *testing.T) {
	s := start(t, Config{MaxPending: 1})
	_ = stall(t, s, 1, "GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: xderpx\r\n\r\n")
	eventually(t, "refused", func() bool { return s.Snapshot().Refused == 1 })
	if n := s.Snapshot().Pending; n != 1 {
		t.Errorf("%d pending, want 1", n)
	}
	stall(t, s, 1, "")
	eventually(t, "evicted", func() bool { return s.Snapshot().Evicted == 1 })
}

func TestWebSocketTextMessage(t *testing.T) {
	for _, s := range webSocketServers(t) {
		ws, _, err := dialWebSocket(t, s, "derp")
		if err != nil {
			t.Fatal(err)
		}
		if err := ws.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, ws, websocket.StatusUnsupportedData)
		eventually(t, "the conn gone", func() bool { return s.Snapshot().Serving == 0 })
	}
}

func TestWebSocketBadRequests(t *testing.T) {
	s := start(t, Config{})
	const good = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: derp"}
	for want, header := range map[int][]string{
		http.StatusBadRequest:      append(upgrade[:3:3], "Sec-WebSocket-Version: 8", good),
		http.StatusUpgradeRequired: append(upgrade[1:3:3], "Sec-WebSocket-Version: 13", good),
	} {
		if response, body := ask(t, s, "GET", "/derp", header...); response.StatusCode != want || body == "" {
			t.Errorf("%q: status %d %q, want %d", header, response.StatusCode, body, want)
		}
	}
	if n := s.Snapshot().Refused; n != 2 {
		t.Errorf("%d refusals counted, want 2", n)
	}
}

// The relay ends WebSockets without waiting for peers that do not answer.
func TestWebSocketShutdown(t *testing.T) {
	for _, config := range []*tls.Config{nil, selfTLS(t)} {
		s := start(t, Config{TLS: config})
		if _, _, err := dialWebSocket(t, s, "derp"); err != nil { // never read from
			t.Fatal(err)
		}
		eventually(t, "served", func() bool { return s.Snapshot().Serving == 1 })
		began := time.Now()
		shutDown(t, s.config.Relay.Shutdown)
		shutDown(t, s.Shutdown)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("shutdown took %v: it waited for the peer", took)
		}
	}
}

// What has come of a message that breaks off is masked, and no frame of the peer's.
func TestWebSocketThatBreaksOffBringsNothing(t *testing.T) {
	s := webSocketServers(t)["plain"]
	var raw net.Conn
	ws, _, err := dialWebSocketOver(t, s, func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		raw, err = new(net.Dialer).DialContext(ctx, network, address)
		return raw, err
	}, "derp")
	if err != nil {
		t.Fatal(err)
	}
	c, p := webSocketStream(t, ws), newPeer(s.config.Relay.PublicKey())
	wantBytes(t, c, derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
	send(t, c, p.clientInfo())
	p.wantServed(t, c)

	before := s.config.Relay.Counters()

	// On the wire it looks like frames, behind the head of a message that is longer.
	const binary, masked, twoBytes = 0x82, 0x80, 126
	wire := []byte{binary, masked | twoBytes, 0x10, 0, 1, 2, 3, 4}
	send(t, raw, append(derp.AppendSendPacket(wire, p.key.Public(), []byte("never sent")), 99, 0, 0, 0, 0))
	raw.Close()
	eventually(t, "it has ended", func() bool { return s.config.Relay.Counters().Ended["read_error"] == 1 })
	if now := s.config.Relay.Counters(); now.Received != before.Received || now.UnknownFrames != before.UnknownFrames {
		t.Errorf("it had brought %+v and has brought %+v", before.Received, now.Received)
	}
}
