package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// What others answer under the relay's name, with the relay's own certificate or
// without TLS: nobody has proven to be the relay, so none of it is a verdict.
var strangers = map[string]func(c net.Conn){
	"200": answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
	"204": answering("HTTP/1.1 204 No Content\r\n\r\n"),
	"301": answering("HTTP/1.1 301 Moved Permanently\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"),
	"401": answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
	"403": answering("HTTP/1.1 403 Forbidden\r\nServer: envoy\r\nContent-Length: 0\r\n\r\n"),
	"404": answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
	"426": answering("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"),
	"500": answering("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
	"502": answering("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"),
	"503": answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"),

	"WebSocket without our greeting": answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi"),
	"upgrade without our greeting":   answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"),
	"mail":                           answering("220 mail.example ESMTP\r\n"),
	"SSH":                            answering("SSH-2.0-OpenSSH_9.9\r\n"),
	"noise":                          answering("\x00\x01\x02\x03\x04\x05\x06\x07"),
	"hanging up":                     func(c net.Conn) { c.Close() },
	"silence":                        func(c net.Conn) { io.Copy(io.Discard, c) },
}

func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		http.ReadRequest(bufio.NewReader(c))
		io.WriteString(c, text)
	}
}

// accepting serves what a stranger does until the test ends.
func accepting(t *testing.T, config *tls.Config, serve func(net.Conn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			work.Go(func() {
				defer c.Close()
				if config != nil {
					c = tls.Server(c, config)
				}
				serve(c)
			})
		}
	})
	return l.Addr()
}

func TestStrangersUnderTheNameSayNothing(t *testing.T) {
	r := startTarget(t)
	pair, err := r.cert.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, serve := range strangers {
		for kind, config := range map[string]*tls.Config{"same certificate": {Certificates: []tls.Certificate{*pair}}, "no TLS": nil} {
			t.Run(name+", "+kind, func(t *testing.T) {
				trip := r.trip().at(accepting(t, config, serve))
				if config == nil && name != "silence" {
					trip = trip.with(func(c *client.Config) { c.URL, c.RootCAs = "http://relay.example/derp", nil })
				}
				within := timeout
				if name == "silence" {
					within = 300 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				err := trip.Check(ctx)
				if !saysNothing(err) {
					t.Errorf("%v: it counts as a verdict", err)
				}
				if remedy(err) == remedy(nil) {
					t.Errorf("%v: no remedy", err)
				}
				outcome := decided(t, r, trip, within)
				if !outcome.OK || outcome.FailedTotal != 0 || outcome.DirectTotal != 1 {
					t.Errorf("the listener is well, and the check says %+v", outcome)
				}
			})
		}
	}
}

// decided makes one self-check with both paths, of which that by name has so long.
func decided(t *testing.T, r *target, byName RoundTrip, within time.Duration) SelfCheck {
	t.Helper()
	direct := r.trip()
	h := opened(t, Config{
		ViaName: Path{Target: "name", Check: byName.Check},
		Direct:  Path{Target: "direct", Check: direct.Check},
		Timeout: timeout,
	})
	if byName.Addr != "" {
		h.checking.Load().name.Check = func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			return byName.Check(ctx)
		}
	}
	h.check(t.Context())
	return *h.Snapshot().SelfCheck
}

// One who greets with our key is us: what goes wrong behind that counts at once.
func TestFailuresBehindOurKeyCount(t *testing.T) {
	r := startTarget(t)
	secret := key.NewPrivate()
	pair, err := r.cert.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	refusing := accepting(t, &tls.Config{Certificates: []tls.Certificate{*pair}}, func(c net.Conn) {
		in := bufio.NewReader(c)
		http.ReadRequest(in)
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
		c.Write(derp.AppendServerKey(nil, secret.Public()))
		in.Read(make([]byte, 1))
	})
	trip := r.trip().at(refusing).with(func(c *client.Config) { c.ServerKey = secret.Public() })
	err = check(t, trip)
	if saysNothing(err) || err == nil {
		t.Errorf("%v: it does not count", err)
	}
	if outcome := decided(t, r, trip, timeout); outcome.OK || outcome.DirectTotal != 0 {
		t.Errorf("%+v", outcome)
	}
}

// A relay that has all the conns that it may have closes more of them at once, those of
// its check among them. It works, so whoever is told to go elsewhere would go for nothing.
func TestFullHouseIsNoFailure(t *testing.T) {
	shut := fmt.Errorf("%w: EOF", ErrUnproven)
	full := false
	for name, config := range map[string]Config{
		"via the name": {ViaName: (&script{target: "name", ends: []error{nil, shut}}).path()},
		"direct":       {Direct: (&script{target: "direct", ends: []error{nil, shut}}).path()},
		"both": {
			ViaName: (&script{target: "name", ends: []error{nil, shut}}).path(),
			Direct:  (&script{target: "direct", ends: []error{nil, nil, shut}}).path(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			full = false
			config.Full = func() bool { return full }
			h := opened(t, config)
			h.check(t.Context())
			full = true
			for range 5 {
				h.check(t.Context())
			}
			h.want(t, None, "")
			if got := h.Snapshot().SelfCheck; got.FailedTotal != 0 {
				t.Errorf("%+v", got)
			}
			full = false
			h.check(t.Context())
			h.check(t.Context())
			if h.Healthy() {
				t.Error("with room again, what fails does not count")
			}
		})
	}
}

// Once the relay was met by its name, a stranger there is what peers meet, too.
func TestStrangerAfterTheNameHasWorkedCounts(t *testing.T) {
	stranger := fmt.Errorf("%w: 404", ErrUnproven)
	name := &script{target: "name", ends: []error{stranger, nil, stranger}}
	direct := &script{target: "direct", ends: []error{nil}}
	h := opened(t, Config{ViaName: name.path(), Direct: direct.path()})
	for n, want := range []string{"direct", "name", "name", "name"} {
		h.check(t.Context())
		if got := h.Snapshot().SelfCheck.Target; got != want {
			t.Errorf("check %d was through %s, want %s", n+1, got, want)
		}
	}
	h.want(t, SelfCheckFailed, "self-check failed: "+stranger.Error())
}
