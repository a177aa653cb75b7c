package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/coder/websocket"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// webRelay is an HTTP server that plays script in WebSockets, with the reference's
// limit for messages, and answers everything else with status 426, as a relay does
// when something dropped the Upgrade header.
type webRelay struct {
	*httptest.Server
	mu       sync.Mutex
	requests []http.Header
}

func startWebRelay(t *testing.T, a *authority, private key.Private, protocol string, script func(*websocket.Conn, *side)) *webRelay {
	t.Helper()
	r := &webRelay{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, request.Header.Clone())
		r.mu.Unlock()
		if !strings.EqualFold(request.Header.Get("Upgrade"), "websocket") {
			http.Error(w, "upgrade to DERP", http.StatusUpgradeRequired)
			return
		}
		ws, err := websocket.Accept(w, request, &websocket.AcceptOptions{Subprotocols: []string{protocol}})
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		conn := websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
		ws.SetReadLimit(32768)
		script(ws, newSide(t, private, conn))
	}))
	if a != nil {
		r.TLS = serverTLS(a.issue("relay.example.com"))
		r.StartTLS()
	} else {
		r.Start()
	}
	t.Cleanup(r.Close)
	return r
}

func (r *webRelay) config(rawURL string) Config {
	cfg := Config{URL: rawURL, Key: key.NewPrivate(), Proxy: noProxy}
	cfg.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, r.Listener.Addr().String())
	}
	return cfg
}

// greetAndLogin is the login inside a WebSocket, where no request comes before it.
func (s *side) greetAndLogin() bool {
	if !s.write(derp.AppendServerKey(nil, s.key.Public())) {
		return false
	}
	_, ok := s.readLogin()
	return ok && s.write(s.serverInfo(derp.ServerInfo{Version: 2}))
}

func TestWebSocket(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	for name, c := range map[string]struct {
		url      string
		a        *authority
		mode     WebSocketMode
		requests int
	}{
		"asked for, plain": {"http://relay.example.com", nil, WebSocketAlways, 1},
		"asked for, TLS":   {"https://relay.example.com", a, WebSocketAlways, 1},
		"fallback, plain":  {"http://relay.example.com", nil, WebSocketFallback, 2},
		"fallback, TLS":    {"https://relay.example.com", a, WebSocketFallback, 2},
	} {
		t.Run(name, func(t *testing.T) {
			relay := startWebRelay(t, c.a, private, "derp", func(_ *websocket.Conn, s *side) {
				if s.greetAndLogin() {
					s.echo()
				}
			})
			cfg := relay.config(c.url)
			cfg.RootCAs, cfg.WebSocket = a.pool(), c.mode
			conn := admitted(t, cfg)
			checkEcho(t, conn, 0, 1, 1400, derp.MaxPacket)
			if (conn.TLSState() != nil) != (c.a != nil) {
				t.Error("wrong TLS state")
			}
			conn.Close() // the relay's requests are complete when it is closed
			relay.Close()
			if got := len(relay.requests); got != c.requests {
				t.Errorf("%d requests, want %d", got, c.requests)
			}
			for _, header := range []string{"Sec-Websocket-Extensions", "Derp-Fast-Start", "Ideal-Node"} {
				if got := relay.requests[c.requests-1].Get(header); got != "" {
					t.Errorf("the request says %s: %s", header, got)
				}
			}
		})
	}
}

// checkEcho sends packets of some sizes to a relay that sends them back.
func checkEcho(t *testing.T, c *Conn, sizes ...int) {
	t.Helper()
	peer := c.ServerKey() // any key will do
	buf := make([]byte, derp.MaxPacket)
	for _, size := range sizes {
		packet := make([]byte, size)
		rand.Read(packet)
		if err := c.Send(peer, packet); err != nil {
			t.Fatal(err)
		}
		if err := c.SendBatch([]Packet{{peer, packet}, {peer, packet}}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			msg, err := c.Recv(buf)
			if err != nil || msg.Kind != MessagePacket || !bytes.Equal(msg.Packet, packet) {
				t.Fatalf("packet of %d bytes: received %v of %d bytes, %v", size, msg.Kind, len(msg.Packet), err)
			}
		}
	}
}

func TestWebSocketRefused(t *testing.T) {
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://login.example.net/")
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, "pay first")
	}))
	defer refuse.Close()
	cfg := (&webRelay{Server: refuse}).config("http://relay.example.com")
	cfg.WebSocket = WebSocketAlways
	_, err := Dial(t.Context(), cfg)
	var got *StatusError
	want := StatusError{Code: 302, Redirect: "http://login.example.net/", Body: "pay first"}
	if !errors.As(err, &got) || *got != want {
		t.Errorf("%v, want %v", err, &want)
	}
}

func TestWebSocketForSomethingElse(t *testing.T) {
	relay := startWebRelay(t, nil, key.NewPrivate(), "chat", func(_ *websocket.Conn, s *side) { s.drain() })
	cfg := relay.config("http://relay.example.com")
	cfg.WebSocket = WebSocketAlways
	if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v, want ErrProtocol", err)
	}
}

func TestWebSocketBadHandshake(t *testing.T) {
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		s.request()
		s.write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n"))
	})
	cfg := relay.config(t, "http://relay.example.com")
	cfg.WebSocket = WebSocketAlways
	if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v, want ErrProtocol", err)
	}
}

func TestWebSocketEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*websocket.Conn)
		want error
	}{
		"normal":       {func(ws *websocket.Conn) { ws.Close(websocket.StatusNormalClosure, "") }, io.EOF},
		"going away":   {func(ws *websocket.Conn) { ws.Close(websocket.StatusGoingAway, "") }, io.EOF},
		"text message": {func(ws *websocket.Conn) { ws.Write(context.Background(), websocket.MessageText, []byte("hi")) }, ErrProtocol},
	} {
		relay := startWebRelay(t, nil, key.NewPrivate(), "derp", func(ws *websocket.Conn, s *side) {
			if s.greetAndLogin() {
				c.end(ws)
				s.drain()
			}
		})
		cfg := relay.config("http://relay.example.com")
		cfg.WebSocket = WebSocketAlways
		if _, err := admitted(t, cfg).Recv(nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestWebSocketAdmissionRefused(t *testing.T) {
	relay := startWebRelay(t, nil, key.NewPrivate(), "derp", func(ws *websocket.Conn, s *side) {
		s.write(derp.AppendServerKey(nil, s.key.Public()))
		s.readLogin()
		ws.Close(websocket.StatusPolicyViolation, "no")
	})
	cfg := relay.config("http://relay.example.com")
	cfg.WebSocket = WebSocketAlways
	if _, err := dial(t, cfg).Recv(nil); !errors.Is(err, ErrAdmissionRefused) {
		t.Errorf("%v, want ErrAdmissionRefused", err)
	}
}

// A connection that has ended leaves nothing of its WebSocket behind.
func TestNothingOfAWebSocketStays(t *testing.T) {
	relay := startWebRelay(t, nil, key.NewPrivate(), "derp", func(_ *websocket.Conn, s *side) {
		if s.greetAndLogin() {
			s.drain()
		}
	})
	cfg := relay.config("http://relay.example.com")
	cfg.WebSocket = WebSocketAlways
	ended := func() weak.Pointer[websocket.Conn] {
		c, _, err := Login(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return weak.Make(c.ws)
	}()
	for tries := 0; ended.Value() != nil; tries++ {
		if tries == 1000 {
			t.Fatal("the WebSocket is still reachable")
		}
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}
