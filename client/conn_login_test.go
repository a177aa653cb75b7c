package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

func TestConfigRefused(t *testing.T) {
	good := Config{URL: "https://relay.example.com/derp", Key: key.NewPrivate()}
	for name, change := range map[string]func(*Config){
		"no key":              func(c *Config) { c.Key = key.Private{} },
		"no URL":              func(c *Config) { c.URL = "" },
		"other scheme":        func(c *Config) { c.URL = "wss://relay.example.com" },
		"no host":             func(c *Config) { c.URL = "https:///derp" },
		"host with a space":   func(c *Config) { c.URL = "https://relay example.com" },
		"host with a newline": func(c *Config) { c.URL = "https://relay%0d%0aX:y" },
		"host with a comma":   func(c *Config) { c.URL = "https://a,b" },
		"zone with a newline": func(c *Config) { c.URL = "https://[fe80::1%25a%0d%0aX:y]" },
		"not a URL":           func(c *Config) { c.URL = "https://%zz" },
		"long name":           func(c *Config) { c.AppName = strings.Repeat("x", 33) },
		"name not ASCII":      func(c *Config) { c.AppName = "caf\u00e9" },
		"header injection":    func(c *Config) { c.IdealNode = "1a\r\nX: y" },
		"pin too short":       func(c *Config) { c.CertName = "sha256-raw:00" },
		"pin in upper case":   func(c *Config) { c.CertName = "sha256-raw:" + strings.Repeat("AB", 32) },
	} {
		cfg := good
		cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
			t.Errorf("%s: dialled", name)
			return nil, io.EOF
		}
		change(&cfg)
		_, err := Dial(t.Context(), cfg)
		if err != nil && strings.HasPrefix(cfg.URL, "https://") && strings.Count(err.Error(), "://") > 1 {
			t.Errorf("%s: %v: the URL stands there twice", name, err)
		}
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want an error of one line", name, err)
		}
	}
}

func TestAddresses(t *testing.T) {
	for rawURL, want := range map[string][3]string{ // address to dial, Host header, path
		"https://relay.example.com":               {"relay.example.com:443", "relay.example.com", "/derp"},
		"https://relay.example.com:443/x?y=z":     {"relay.example.com:443", "relay.example.com", "/x?y=z"},
		"http://relay.example.com/":               {"relay.example.com:80", "relay.example.com", "/"},
		"http://relay.example.com:443/derp":       {"relay.example.com:443", "relay.example.com:443", "/derp"},
		"https://192.0.2.1:8443/derp":             {"192.0.2.1:8443", "192.0.2.1:8443", "/derp"},
		"https://[2001:db8::1]/derp":              {"[2001:db8::1]:443", "[2001:db8::1]", "/derp"},
		"https://[2001:db8::1]:443/derp":          {"[2001:db8::1]:443", "[2001:db8::1]", "/derp"},
		"https://[2001:db8::1]:444/derp":          {"[2001:db8::1]:444", "[2001:db8::1]:444", "/derp"},
		"https://user:secret@relay.example.com/d": {"relay.example.com:443", "relay.example.com", "/d"},
	} {
		target, err := newTarget(Config{URL: rawURL, Key: key.NewPrivate()})
		if err != nil {
			t.Error(err)
			continue
		}
		if got := [3]string{target.Addr, target.HostHeader(), target.Location.RequestURI()}; got != want {
			t.Errorf("%s: %q, want %q", rawURL, got, want)
		}
	}
}

func TestLoginSaysWhoWeAre(t *testing.T) {
	mesh, err := key.ParseMesh(strings.Repeat("5e", 32))
	if err != nil {
		t.Fatal(err)
	}
	type login struct {
		info derp.ClientInfo
		peer key.Public
	}
	logins := make(chan login, 1)
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		if info, ok := s.takeOver(); ok {
			logins <- login{info, s.peer}
		}
	})
	cfg := relay.config(t, "http://relay.example.com")
	cfg.MeshKey, cfg.Prober, cfg.AppName = mesh, true, "an app"
	dial(t, cfg)
	want := derp.ClientInfo{MeshKey: mesh, Version: 2, CanAckPings: true, IsProber: true, AppName: "an app"}
	if got := <-logins; got.info != want || got.peer != cfg.Key.Public() {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// writeCounter counts what goes out and records it.
type writeCounter struct {
	net.Conn
	mu     sync.Mutex
	writes int
	bytes  bytes.Buffer
}

func (w *writeCounter) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.writes++
	w.bytes.Write(p)
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// take returns the number of writes and what they wrote, and begins anew.
func (w *writeCounter) take() (writes int, written []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	writes, written = w.writes, bytes.Clone(w.bytes.Bytes())
	w.writes = 0
	w.bytes.Reset()
	return writes, written
}

// counted makes cfg dial through a writeCounter, which is there after Dial.
func counted(cfg *Config) *writeCounter {
	counter, dial := new(writeCounter), cfg.DialContext
	cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		counter.Conn = conn
		return counter, err
	}
	return counter
}

func TestFastStartIsOneWrite(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	leaf := a.issue("relay.example.com")
	writes := map[bool]int{}
	for _, fast := range []bool{false, true} {
		cert := leaf
		if fast {
			cert = with(leaf, metaCert(t, private.Public(), 2))
		}
		relay := startRelay(t, private, serverTLS(cert), func(s *side) {
			s.admit()
			s.drain()
		})
		cfg := relay.config(t, "https://relay.example.com")
		cfg.RootCAs, cfg.Preferred = a.pool(), true
		counter := counted(&cfg)
		admitted(t, cfg)
		writes[fast], _ = counter.take()
	}
	if writes[true] != writes[false]-1 {
		t.Errorf("%d writes with fast start and %d without, want one less: request and login are one", writes[true], writes[false])
	}
}

// A meta certificate that does not fit means no fast start, not a failure.
func TestNoFastStart(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	leaf := a.issue("relay.example.com")
	for name, serial := range map[string]int64{"version 0": 0x00, "version that does not fit": 0x100} {
		requests := make(chan string, 1)
		template := metaCert(t, private.Public(), max(serial, 1))
		if serial == 0 {
			template = zeroSerial(t, private.Public())
		}
		relay := startRelay(t, private, serverTLS(with(leaf, template)), func(s *side) {
			head, _ := s.request()
			requests <- head
			s.write(derp.AppendServerKey([]byte(switchingProtocols), s.key.Public()))
			s.drain()
		})
		cfg := relay.config(t, "https://relay.example.com")
		cfg.RootCAs = a.pool()
		dial(t, cfg)
		if head := <-requests; strings.Contains(head, "Fast-Start") {
			t.Errorf("%s: fast start", name)
		}
	}
}

// zeroSerial makes a meta certificate with version 0, by changing one with version
// 1: its signature is not looked at.
func zeroSerial(t *testing.T, relay key.Public) []byte {
	der := metaCert(t, relay, 1)
	serial := []byte{0x02, 0x01, 0x01, 0x30} // INTEGER 1, then the algorithm
	i := bytes.Index(der, serial)
	if i < 0 {
		t.Fatal("no serial number found")
	}
	der[i+2] = 0
	return der
}

func TestServerKeyIsChecked(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	script := func(s *side) {
		if s.admit() {
			s.drain()
		}
	}
	plain := startRelay(t, private, nil, script)
	fast := startRelay(t, private, serverTLS(with(a.issue("relay.example.com"), metaCert(t, private.Public(), 2))), script)
	for name, cfg := range map[string]Config{
		"greeting":    plain.config(t, "http://relay.example.com"),
		"certificate": fast.config(t, "https://relay.example.com"),
	} {
		cfg.RootCAs = a.pool()
		cfg.ServerKey = private.Public()
		admitted(t, cfg)
		cfg.ServerKey = key.NewPrivate().Public()
		if _, err := Dial(t.Context(), cfg); !errors.Is(err, ErrServerKey) {
			t.Errorf("%s: %v, want ErrServerKey", name, err)
		}
	}
}

// A relay restarted with another key may still present its old meta certificate. It
// cannot read the login then.
func TestGreetingContradictsCertificate(t *testing.T) {
	a := newAuthority(t)
	stale := metaCert(t, key.NewPrivate().Public(), 2)
	relay := startRelay(t, key.NewPrivate(), serverTLS(with(a.issue("relay.example.com"), stale)), func(s *side) {
		s.request()
		s.write(derp.AppendServerKey(nil, s.key.Public()))
		s.read()
	})
	cfg := relay.config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	if _, err := dial(t, cfg).Recv(nil); !errors.Is(err, ErrServerKey) {
		t.Errorf("%v, want ErrServerKey", err)
	}
}

func TestAdmissionRefused(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	meta := serverTLS(with(a.issue("relay.example.com"), metaCert(t, private.Public(), 2)))
	for name, c := range map[string]struct {
		url    string
		server *tls.Config
		end    func(*side)
	}{
		"closed":             {"http://relay.example.com", nil, func(s *side) {}},
		"reset":              {"http://relay.example.com", nil, func(s *side) { s.conn.(*net.TCPConn).SetLinger(0) }},
		"in a frame":         {"http://relay.example.com", nil, func(s *side) { s.write([]byte{3, 0}) }},
		"fast start":         {"https://relay.example.com", meta, func(s *side) { s.conn.(*tls.Conn).CloseWrite() }},
		"without TLS ending": {"https://relay.example.com", meta, func(s *side) {}},
	} {
		relay := startRelay(t, private, c.server, func(s *side) {
			s.takeOver()
			c.end(s)
		})
		cfg := relay.config(t, c.url)
		cfg.RootCAs = a.pool()
		conn := dial(t, cfg)
		_, err := conn.Recv(nil)
		if !errors.Is(err, ErrAdmissionRefused) {
			t.Errorf("%s: %v, want ErrAdmissionRefused", name, err)
		}
		if again := conn.Send(key.Public{1}, nil); again != err {
			t.Errorf("%s: afterwards Send says %v, want %v", name, again, err)
		}
	}
}

// The end of a connection that had been admitted is no refusal.
func TestEndAfterAdmission(t *testing.T) {
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) { s.admit() })
	c := admitted(t, relay.config(t, "http://relay.example.com"))
	if _, err := c.Recv(nil); !errors.Is(err, io.EOF) || errors.Is(err, ErrAdmissionRefused) {
		t.Errorf("%v, want io.EOF and not ErrAdmissionRefused", err)
	}
}

func TestNotARelay(t *testing.T) {
	for name, answer := range map[string]string{
		"no greeting":        switchingProtocols + "\x06\x00\x00\x00\x00",
		"wrong magic":        switchingProtocols + "\x01\x00\x00\x00\x28" + strings.Repeat("x", 40),
		"endless greeting":   switchingProtocols + "\x01\x00\x00\x04\x01",
		"not HTTP":           "SSH-2.0-OpenSSH\r\n\r\n",
		"broken HTTP":        "HTTP/x y z\r\n\r\n",
		"endless header":     "HTTP/1.1 101 Switching Protocols\r\n" + strings.Repeat("X: y\r\n", 4000),
		"endless first line": "HTTP/1.1 " + strings.Repeat("1", 20000),
	} {
		relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
			s.request()
			s.write([]byte(answer))
			s.drain()
		})
		if _, err := Dial(t.Context(), relay.config(t, "http://relay.example.com")); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v, want ErrProtocol", name, err)
		}
	}
}

// However far the connection has come, the context ends the attempt.
func TestDialObeysContext(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	secure := serverTLS(a.issue("relay.example.com"))
	for name, c := range map[string]struct {
		url    string
		server *tls.Config
		mode   WebSocketMode
		script func(s *side)
	}{
		"no answer":           {"http://relay.example.com", nil, WebSocketFallback, func(s *side) { s.request() }},
		"no greeting":         {"http://relay.example.com", nil, WebSocketFallback, func(s *side) { s.request(); s.write([]byte(switchingProtocols)) }},
		"no TLS":              {"https://relay.example.com", nil, WebSocketFallback, func(s *side) {}},
		"no answer over TLS":  {"https://relay.example.com", secure, WebSocketFallback, func(s *side) { s.request() }},
		"no WebSocket":        {"http://relay.example.com", nil, WebSocketAlways, func(s *side) { s.request() }},
		"no WebSocket in TLS": {"https://relay.example.com", secure, WebSocketAlways, func(s *side) { s.request() }},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("changed our mind")
			relay := startRelay(t, private, c.server, func(s *side) {
				c.script(s)
				cancel(why)
				s.drain()
			})
			cfg := relay.config(t, c.url)
			cfg.RootCAs, cfg.WebSocket = a.pool(), c.mode
			within(t, "Dial", func() {
				if _, err := Dial(ctx, cfg); !errors.Is(err, why) {
					t.Errorf("%v, want %v", err, why)
				}
			})
		})
	}
}
