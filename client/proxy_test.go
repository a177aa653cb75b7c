package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// testProxy answers CONNECT requests with a fixed text, and if that is a 200,
// passes everything on to relay.
type testProxy struct {
	listener net.Listener
	mu       sync.Mutex
	requests []string // as they came
	dialled  []string // addresses that the client asked DialContext for
}

const connected = "HTTP/1.1 200 Connection established\r\n\r\n"

func startProxy(t *testing.T, config *tls.Config, answer string, relay *testRelay) *testProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &testProxy{listener: listener}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if config != nil {
				conn = tls.Server(conn, config)
			}
			wg.Go(func() { p.serve(conn, answer, relay) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return p
}

func (p *testProxy) serve(conn net.Conn, answer string, relay *testRelay) {
	defer conn.Close()
	s := &side{conn: conn, br: bufio.NewReader(conn)}
	head, ok := s.request()
	if !ok {
		return
	}
	p.mu.Lock()
	p.requests = append(p.requests, head)
	p.mu.Unlock()
	s.write([]byte(answer))
	if answer != connected {
		return
	}
	onward, err := net.Dial("tcp", relay.listener.Addr().String())
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(onward, s.br)
		onward.Close()
	})
	io.Copy(conn, onward)
	conn.Close()
	wg.Wait()
}

// use makes cfg go through the proxy, under the URL that the environment would
// give.
func (p *testProxy) use(t *testing.T, cfg *Config, proxyURL string) {
	t.Helper()
	parsed, err := url.Parse(proxyURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Proxy = func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme != "https" {
			t.Errorf("the proxy for %s was asked for, want https", r.URL)
		}
		return parsed, nil
	}
	cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		p.mu.Lock()
		p.dialled = append(p.dialled, addr)
		p.mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, p.listener.Addr().String())
	}
}

func TestProxy(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	secure := serverTLS(with(a.issue("relay.example.com"), metaCert(t, private.Public(), 2)))
	proxyTLS := serverTLS(a.issue("proxy.example.net"))
	for name, c := range map[string]struct {
		url, proxy      string
		relay, listener *tls.Config
		addr, request   string
	}{
		"http":         {"https://relay.example.com", "http://proxy.example.net", secure, nil, "proxy.example.net:80", "CONNECT relay.example.com:443 HTTP/1.1\r\nHost: relay.example.com:443\r\n\r\n"},
		"https":        {"https://relay.example.com:444", "https://proxy.example.net", secure, proxyTLS, "proxy.example.net:443", "CONNECT relay.example.com:444 HTTP/1.1\r\nHost: relay.example.com:444\r\n\r\n"},
		"with port":    {"https://relay.example.com", "http://proxy.example.net:3128", secure, nil, "proxy.example.net:3128", "CONNECT relay.example.com:443 HTTP/1.1\r\nHost: relay.example.com:443\r\n\r\n"},
		"with user":    {"https://relay.example.com", "http://al:p%40ss@proxy.example.net", secure, nil, "proxy.example.net:80", "CONNECT relay.example.com:443 HTTP/1.1\r\nHost: relay.example.com:443\r\nProxy-Authorization: Basic YWw6cEBzcw==\r\n\r\n"},
		"to plain":     {"http://relay.example.com", "http://proxy.example.net", nil, nil, "proxy.example.net:80", "CONNECT relay.example.com:80 HTTP/1.1\r\nHost: relay.example.com:80\r\n\r\n"},
		"to IPv6 host": {"http://[2001:db8::1]:3340", "http://proxy.example.net", nil, nil, "proxy.example.net:80", "CONNECT [2001:db8::1]:3340 HTTP/1.1\r\nHost: [2001:db8::1]:3340\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			relay := startRelay(t, private, c.relay, func(s *side) {
				if s.admit() {
					s.echo()
				}
			})
			proxy := startProxy(t, c.listener, connected, relay)
			cfg := relay.config(t, c.url)
			cfg.RootCAs = a.pool()
			proxy.use(t, &cfg, c.proxy)
			conn := admitted(t, cfg)
			checkEcho(t, conn, 100, 60000)
			proxy.mu.Lock()
			defer proxy.mu.Unlock()
			if len(proxy.requests) != 1 || proxy.requests[0] != c.request {
				t.Errorf("the proxy was asked %q, want %q", proxy.requests, c.request)
			}
			if len(proxy.dialled) != 1 || proxy.dialled[0] != c.addr {
				t.Errorf("dialled %q, want %q", proxy.dialled, c.addr)
			}
		})
	}
}

// What the proxy sends behind its answer is the relay's already.
func TestProxyAnswerAndMore(t *testing.T) {
	private := key.NewPrivate()
	relay := startRelay(t, private, nil, func(s *side) {
		s.request()
		// Not how relays behave, who answer a request, but it must not get lost.
		s.write(derp.AppendServerKey([]byte(connected+switchingProtocols), s.key.Public()))
		s.request()
		if _, ok := s.readLogin(); ok {
			s.drain()
		}
	})
	cfg := relay.config(t, "http://relay.example.com")
	cfg.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://proxy.example.net") }
	if c := dial(t, cfg); c.ServerKey() != private.Public() {
		t.Errorf("key %v", c.ServerKey())
	}
}

func TestProxyRefuses(t *testing.T) {
	a := newAuthority(t)
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) { s.drain() })
	for answer, want := range map[string]StatusError{
		"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nwho": {Code: 407, Body: "who", Proxy: true},
		"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n":                      {Code: 502, Proxy: true}, // also no reason for a WebSocket
		"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n":                          {Code: 201, Proxy: true},
	} {
		proxy := startProxy(t, nil, answer, relay)
		cfg := relay.config(t, "https://relay.example.com")
		proxy.use(t, &cfg, "http://proxy.example.net")
		_, err := Dial(t.Context(), cfg)
		var got *StatusError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("%v, want %v", err, &want)
		}
		if err != nil && !strings.Contains(err.Error(), "proxy.example.net") {
			t.Errorf("%v does not name the proxy", err)
		}
		if len(proxy.dialled) != 1 {
			t.Errorf("%q: %d attempts", answer, len(proxy.dialled))
		}
	}

	closing := startProxy(t, nil, "", relay)
	cfg := relay.config(t, "https://relay.example.com")
	closing.use(t, &cfg, "http://user:secret@proxy.example.net")
	if _, err := Dial(t.Context(), cfg); !errors.Is(err, io.ErrUnexpectedEOF) || len(closing.dialled) != 1 || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v after %d attempts, want the end of the connection after 1", err, len(closing.dialled))
	}

	impostor := startProxy(t, serverTLS(a.issue("other.example.net")), connected, relay)
	cfg.RootCAs = a.pool()
	impostor.use(t, &cfg, "https://proxy.example.net")
	if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrCertificate) {
		t.Errorf("%v, want ErrCertificate", err)
	}
}

// Whatever goes wrong on the way to the proxy is told of the proxy, and not of the
// relay.
func TestProxyOutOfReach(t *testing.T) {
	why := errors.New("nobody listens there")
	for name, dial := range map[string]func() (net.Conn, error){
		"refused": func() (net.Conn, error) { return nil, why },
		"closes at once": func() (net.Conn, error) {
			ours, theirs := net.Pipe()
			theirs.Close()
			return ours, nil
		},
	} {
		for _, scheme := range []string{"http", "https"} {
			for _, mode := range []WebSocketMode{WebSocketFallback, WebSocketNever, WebSocketAlways} {
				dials := 0
				cfg := Config{URL: "https://relay.example.com", Key: key.NewPrivate(), WebSocket: mode}
				cfg.DialContext = func(context.Context, string, string) (net.Conn, error) { dials++; return dial() }
				cfg.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(scheme + "://u:secret@proxy.example.net:3128") }
				for way, connect := range map[string]func() error{
					"Dial":    func() error { _, err := Dial(t.Context(), cfg); return err },
					"Login":   func() error { _, _, err := Login(t.Context(), cfg); return err },
					"Latency": func() error { _, err := Latency(t.Context(), cfg); return err },
				} {
					dials = 0
					err := connect()
					var failed *ProxyError
					if !errors.As(err, &failed) || failed.Proxy != "proxy.example.net:3128" || dials != 1 {
						t.Errorf("%s, %s, %s, %v: %v after %d dials, want a ProxyError after 1", name, scheme, way, mode, err, dials)
					}
					if name == "refused" && !errors.Is(err, why) || err != nil && strings.Contains(err.Error(), "secret") {
						t.Errorf("%s, %s: %v", name, way, err)
					}
				}
			}
		}
	}
}

func TestProxyThatCannotBeUsed(t *testing.T) {
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {})
	cfg := relay.config(t, "https://relay.example.com")
	cfg.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("socks5://user:secret@proxy.example.net") }
	_, err := Dial(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "socks5://") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v, want an error with the URL and without the password", err)
	}
	why := errors.New("environment is broken")
	cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, why }
	if _, err := Dial(t.Context(), cfg); !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
	if relay.connections() != 0 {
		t.Error("connected without the proxy")
	}
}
