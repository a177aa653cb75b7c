package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/key"
)

// Whatever answers the request to upgrade otherwise than a relay stands before it, and
// may let WebSockets through.
func TestFallbackDecision(t *testing.T) {
	answers := map[string]bool{
		"":                               true,
		"HTTP/1.1 200 OK\r\n":            true, // and the end
		"220 mail.example.com ESMTP\r\n": true,
		"\x15\x03\x01\x00\x02\x02\x46":   true, // an alert of TLS
		"HTTP/1.1 302 x\r\nLocation: https://portal.example/\r\n\r\n":                      true,
		"HTTP/1.1 403 x\r\nServer: envoy\r\nContent-Length: 2\r\n\r\nno":                   true,
		"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":        true,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n": false,
		"HTTP/1.1 101 x\r\nupgrade: derp\r\n\r\n":                                          false,
		// Not for DERP, and nobody greets.
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                                                  true,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n":     true,
		"HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00":                true,
		"HTTP/1.1 101 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                        true,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 x\r\n\r\n":                                       true,
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9):                                       true,
		"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\x00\x04\x00\x10\x00\x00\x00\x06": true, // HTTP/2
		"SSH-2.0-OpenSSH_9.2p1\r\n":                                                                 true,
		"-ERR unknown command 'GET'\r\n":                                                            true,
		"<html><body>hello</body></html>":                                                           true, // HTTP/0.9
	}
	for _, code := range []int{200, 201, 204, 301, 307, 400, 401, 402, 403, 404, 405, 408, 409, 410, 418, 421, 426, 429, 451, 500, 501, 502, 503, 504, 520, 599} {
		answers[fmt.Sprintf("HTTP/1.1 %d x\r\n\r\n", code)] = true
		answers[fmt.Sprintf("HTTP/1.0 %d x\r\nContent-Length: 0\r\n\r\n", code)] = true
	}
	// Pages of their own, and the relay's word that the header was lost on the way.
	for _, code := range []int{200, 400, 403, 404, 405, 426, 429, 501, 502, 503, 504} {
		page := "<html><head><title>nginx</title></head><body>this relay is no more</body></html>"
		answers[fmt.Sprintf("HTTP/1.1 %d x\r\nServer: nginx\r\nContent-Length: %d\r\n\r\n%s", code, len(page), page)] = true
	}
	answers["HTTP/1.1 426 x\r\nUpgrade: DERP\r\n\r\nthis request has no Upgrade header; a DERP connection needs"] = true
	// What a relay says of itself is said to WebSockets, too.
	answers["HTTP/1.1 503 x\r\n\r\n<html>this relay is shutting down</html>"] = true
	answers["HTTP/1.1 502 x\r\n\r\nthis relay is shutting down; try again"] = true
	answers["HTTP/1.1 429 x\r\n\r\nthis relay takes no more connections from there for now"] = false
	answers["HTTP/1.1 404 x\r\n\r\nthis server relays nothing: it answers STUN and probes only"] = false
	answers["HTTP/1.1 404 x\r\n\r\nderp server disabled\n"] = false
	answers["HTTP/1.1 400 x\r\n\r\nthe relay believes the proxy that this request came by, and"] = false
	for answer, again := range answers {
		relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
			s.request()
			s.write([]byte(answer))
		})
		cfg := relay.config(t, "http://relay.example.com")
		_, err := Dial(t.Context(), cfg)
		if err == nil {
			t.Errorf("%q: connected", answer)
		} else if again != strings.Contains(err.Error(), "WebSocket: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v does not tell in one line of all that was tried", answer, err)
		}
		relay.stop()
		if got := relay.connections() == 2; got != again {
			t.Errorf("%q: second attempt %v, want %v", answer, got, again)
		}
	}
}

// Where a relay says that it is shutting down another has taken over, or stands soon: the
// same is tried once more, and no WebSocket. After a fast start the receiver finds it out.
func TestStoppingRelayIsTriedAgain(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	fast := serverTLS(with(a.issue("relay.example.com"), metaCert(t, private.Public(), 2)))
	for _, test := range []struct {
		name     string
		tls      *tls.Config
		stopping int32
	}{{"taken over", nil, 1}, {"gone", nil, 2}, {"taken over, fast start", fast, 1}, {"gone, fast start", fast, 2}} {
		var dials atomic.Int32
		relay := startRelay(t, private, test.tls, func(s *side) {
			if head, _ := s.request(); !strings.Contains(head, "Upgrade: DERP") {
				t.Errorf("%s: asked for %q", test.name, head)
			}
			if dials.Add(1) <= test.stopping {
				s.write([]byte("HTTP/1.1 503 x\r\n\r\n" + reach.WordStopping + "; try again"))
				if test.tls != nil {
					s.drain()
				}
				return
			}
			if test.tls == nil {
				s.write(append([]byte(switchingProtocols), greeting(s.key)...))
			}
			if _, ok := s.readLogin(); ok {
				s.write(s.serverInfo(serverInfo2))
				s.drain()
			}
		})
		scheme := "http"
		if test.tls != nil {
			scheme = "https"
		}
		cfg := relay.config(t, scheme+"://relay.example.com")
		cfg.RootCAs = a.pool()
		c, _, err := Login(t.Context(), cfg)
		if (err == nil) != (test.stopping == 1) || relay.connections() != 2 {
			t.Errorf("%s: %v after %d connections", test.name, err, relay.connections())
		}
		if err == nil {
			c.Close()
		}
		relay.stop()
	}
}

// A server that speaks HTTP/2 only over TLS is no relay, but may stand before one.
func TestFallbackFromHTTP2(t *testing.T) {
	a := newAuthority(t)
	config := serverTLS(a.issue("relay.example.com"))
	config.NextProtos = []string{"h2"}
	relay := startRelay(t, key.NewPrivate(), config, func(s *side) {
		s.write([]byte("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\x00\x04\x00\x10\x00\x00\x00\x06\x00\x00@\x00"))
		s.drain()
	})
	cfg := relay.config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	_, err := Dial(t.Context(), cfg)
	if _, isOther := errors.AsType[*NotHTTPError](err); !isOther || !strings.Contains(err.Error(), "WebSocket: ") {
		t.Errorf("%v, want what is spoken, and that a WebSocket was tried", err)
	}
	if relay.connections() != 2 {
		t.Errorf("%d connections, want 2", relay.connections())
	}
}

// front is a proxy in fake time that tunnels everything but the request to upgrade.
type front struct {
	refuse func(*side) // what becomes of that request
	relay  key.Private

	mu     sync.Mutex
	conns  int
	behind sync.WaitGroup
}

func (f *front) dial(t *testing.T) reach.DialFunc {
	t.Cleanup(f.behind.Wait)
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		f.mu.Lock()
		f.conns++
		f.mu.Unlock()
		f.behind.Go(func() {
			defer theirs.Close()
			f.serve(t, theirs)
		})
		return ours, nil
	}
}

func (f *front) serve(t *testing.T, conn net.Conn) {
	s := newSide(t, f.relay, conn)
	head, ok := s.request()
	if !ok {
		return
	}
	if strings.Contains(head, "Upgrade: DERP") {
		f.refuse(s)
		return
	}
	request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		t.Error(err)
		return
	}
	ws, err := websocket.Accept(&hijacked{conn, http.Header{}}, request, &websocket.AcceptOptions{Subprotocols: []string{"derp"}})
	if err != nil {
		return
	}
	over := newSide(t, f.relay, websocket.NetConn(context.Background(), ws, websocket.MessageBinary))
	if over.write(greeting(f.relay)) {
		if _, ok := over.readLogin(); ok {
			over.write(over.serverInfo(serverInfo2))
			over.drain()
		}
	}
}

// Whatever the answer is, and when, the WebSocket of the same URL leads to the
// relay.
func TestFallbackLeadsToTheRelay(t *testing.T) {
	for name, test := range map[string]struct {
		refuse  func(*side)
		timeout time.Duration // 0: that of Dial
		took    time.Duration
	}{
		"403":                {refuse: answer("HTTP/1.1 403 Forbidden\r\nserver: envoy\r\nContent-Length: 0\r\n\r\n")},
		"301":                {refuse: answer("HTTP/1.1 301 x\r\nLocation: https://other.example/derp\r\n\r\n")},
		"421":                {refuse: answer("HTTP/1.1 421 x\r\n\r\n")},
		"not HTTP":           {refuse: answer("go away\r\n")},
		"closed":             {refuse: func(*side) {}},
		"hangs":              {refuse: func(s *side) { s.drain() }, took: 5 * time.Second},
		"hangs, little time": {refuse: func(s *side) { s.drain() }, timeout: 3 * time.Second, took: 1500 * time.Millisecond},
		"hangs, much time":   {refuse: func(s *side) { s.drain() }, timeout: time.Minute, took: 5 * time.Second},
		"hangs behind 101": {
			refuse: func(s *side) { s.write([]byte(switchingProtocols)); s.drain() }, took: 5 * time.Second,
		},
		"101 for all": {
			refuse: func(s *side) { s.write([]byte("HTTP/1.1 101 x\r\n\r\n")); s.drain() }, took: 5 * time.Second,
		},
		"101 for another":   {refuse: answer("HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n")},
		"hangs in the head": {refuse: func(s *side) { s.write([]byte("HTTP/1.1 ")); s.drain() }, took: 5 * time.Second},
		"late 504":          {refuse: func(s *side) { time.Sleep(3 * time.Second); answer("HTTP/1.1 504 x\r\n\r\n")(s) }, took: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &front{refuse: test.refuse, relay: key.NewPrivate()}
				ctx := t.Context()
				if test.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.timeout)
					defer cancel()
				}
				start := time.Now()
				c, _, err := Login(ctx, Config{
					URL: "http://relay.example.com/derp", Key: key.NewPrivate(), Proxy: noProxy, DialContext: f.dial(t),
				})
				if err != nil || time.Since(start) != test.took {
					t.Fatalf("%v after %v, want a login after %v", err, time.Since(start), test.took)
				}
				if f.conns != 2 || c.ws == nil {
					t.Errorf("%d connections, want 2, the last a WebSocket", f.conns)
				}
				c.Close()
			})
		})
	}
}

// A relay that is slow to answer is not given up for a WebSocket that leads
// nowhere.
func TestSlowRelayIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, err := Login(t.Context(), pipeRelay(t, func(s *side) {
			head, _ := s.request()
			if strings.Contains(head, "Upgrade: websocket") {
				s.drain()
				return
			}
			time.Sleep(8 * time.Second)
			s.write(append([]byte(switchingProtocols), greeting(s.key)...))
			if _, ok := s.readLogin(); ok {
				s.write(s.serverInfo(serverInfo2))
				s.drain()
			}
		}))
		if err != nil || c.ws != nil {
			t.Fatalf("%v", err)
		}
		c.Close()
	})
}

// What a proxy says before the answer proper, or leaves out of it, is no matter if a
// relay greets behind it.
func TestGreetingProvesTheRelay(t *testing.T) {
	for _, head := range []string{
		switchingProtocols,
		"HTTP/1.1 100 Continue\r\n\r\n" + switchingProtocols,
		"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + switchingProtocols,
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _, err := Login(t.Context(), pipeRelay(t, func(s *side) {
				s.request()
				s.write(append([]byte(head), greeting(s.key)...))
				if _, ok := s.readLogin(); ok {
					s.write(s.serverInfo(serverInfo2))
					s.drain()
				}
			}))
			if err != nil || c.ws != nil {
				t.Fatalf("%q: %v", head, err)
			}
			c.Close()
		})
	}
}

// When nothing works, the error tells of both, and which did not answer.
func TestFallbackStories(t *testing.T) {
	for name, test := range map[string]struct {
		script func(*side, bool) // the latter: for a WebSocket
		want   []string
		is     error
	}{
		"both hang": {
			func(s *side, _ bool) { s.drain() },
			[]string{"no answer to the request to upgrade"}, context.DeadlineExceeded,
		},
		"upgrade hangs": {
			func(s *side, webSocket bool) {
				if webSocket {
					s.write([]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
				}
				s.drain()
			},
			[]string{"no answer to the request to upgrade", "WebSocket: HTTP status 404"}, context.DeadlineExceeded,
		},
		"101, and nobody there": {
			func(s *side, webSocket bool) {
				if webSocket {
					s.write([]byte("SSH-2.0-OpenSSH_9.2p1\r\n"))
				} else {
					s.write([]byte(switchingProtocols))
				}
				s.drain()
			},
			[]string{"no greeting after HTTP status 101", `WebSocket: the answer is not HTTP; it begins with "SSH-2.0`}, context.DeadlineExceeded,
		},
		"WebSocket hangs": {
			func(s *side, webSocket bool) {
				if !webSocket {
					s.write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
				}
				s.drain()
			},
			[]string{"HTTP status 403"}, context.DeadlineExceeded,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := Dial(t.Context(), pipeRelay(t, func(s *side) {
					head, _ := s.request()
					test.script(s, strings.Contains(head, "websocket"))
				}))
				if !errors.Is(err, test.is) {
					t.Errorf("%v, want %v", err, test.is)
				}
				for _, want := range test.want {
					if err != nil && !strings.Contains(err.Error(), want) {
						t.Errorf("%v, want %q", err, want)
					}
				}
			})
		})
	}
}

// A proxy that says nothing is told as the proxy, also when the time is over.
func TestSilentProxyIsNamed(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		synctest.Test(t, func(t *testing.T) {
			cfg := pipeRelay(t, func(s *side) { s.drain() })
			cfg.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(scheme + "://u:secret@proxy.example:3128") }
			_, err := Dial(t.Context(), cfg)
			failed, isProxy := errors.AsType[*ProxyError](err)
			if !isProxy || failed.Proxy != "proxy.example:3128" || !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want the proxy named", err)
			}
		})
	}
}

// What has nothing to do with the request is not tried again.
func TestNoFallback(t *testing.T) {
	a, refused := newAuthority(t), errors.New("connection refused")
	dials := 0
	cfg := Config{URL: "https://relay.example.com", Key: key.NewPrivate(), Proxy: noProxy,
		DialContext: func(context.Context, string, string) (net.Conn, error) { dials++; return nil, refused }}
	if _, err := Dial(t.Context(), cfg); !errors.Is(err, refused) || strings.Contains(err.Error(), "WebSocket") || dials != 1 {
		t.Errorf("%v after %d dials", err, dials)
	}
	relay := startRelay(t, key.NewPrivate(), serverTLS(a.issue("other.example.com")), func(s *side) { s.request() })
	cfg = relay.config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrCertificate) || strings.Contains(err.Error(), "WebSocket") {
		t.Error(err)
	}
	if relay.connections() != 1 {
		t.Errorf("%d connections, want 1", relay.connections())
	}
}

func answer(text string) func(*side) {
	return func(s *side) { s.write([]byte(text)) }
}

// hijacked is the response side of a request that was read by hand.
type hijacked struct {
	conn   net.Conn
	header http.Header
}

func (h *hijacked) Header() http.Header         { return h.header }
func (h *hijacked) Write(p []byte) (int, error) { return len(p), nil }

func (h *hijacked) WriteHeader(code int) {
	fmt.Fprintf(h.conn, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	h.header.Write(h.conn)
	h.conn.Write([]byte("\r\n"))
}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// A connection that is made in the moment in which the context ends is none, and
// that is an error.
func TestContextEndsWithTheLogin(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, err := Dial(ctx, pipeRelay(t, func(s *side) {
				s.request()
				s.write([]byte(switchingProtocols))
				time.Sleep(time.Second)
				s.write(greeting(s.key))
				s.drain()
			}))
			if (c == nil) != (err != nil) {
				t.Fatalf("%v, %v", c, err)
			}
			if c != nil {
				c.Close()
			}
		})
	}
}
