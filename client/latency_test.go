package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/key"
)

const latencyAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

// answering is the script of a relay that reads a request and says something, and
// then nothing until the connection ends.
func answering(text string) func(*side) {
	return func(s *side) {
		if _, ok := s.request(); ok && s.write([]byte(text)) {
			s.drain()
		}
	}
}

// endlessly says something again and again.
func endlessly(first, again string) func(*side) {
	return func(s *side) {
		_, ok := s.request()
		for ok = ok && s.write([]byte(first)); ok; {
			ok = s.write([]byte(again))
		}
	}
}

func TestLatency(t *testing.T) {
	const host = "relay.example.com"
	a := newAuthority(t)
	for _, test := range []struct {
		name   string
		script func(*side)
		err    error
		text   string // of the error
	}{
		{"a relay", answering(latencyAnswer), nil, ""},
		{"no content", answering("HTTP/1.1 204 No Content\r\n\r\n"), nil, ""},
		{"in pieces", func(s *side) {
			if _, ok := s.request(); ok && s.write([]byte("HTT")) {
				time.Sleep(10 * time.Millisecond)
				s.write([]byte(strings.TrimPrefix(latencyAnswer, "HTT")))
			}
		}, nil, ""},
		{"an endless body", endlessly("HTTP/1.1 200 OK\r\n\r\n", "body"), nil, ""},
		{"a body that does not come", answering("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"), nil, ""},
		{"a redirect", answering("HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 999\r\n\r\n"),
			&StatusError{Code: 302, Redirect: "http://login.example/"}, `a redirect to "http://login.example/"`},
		{"a redirect to nowhere", answering("HTTP/1.1 302 Found\r\n\r\n"), ErrProtocol, "HTTP status 302 Found for /derp/latency-check"},
		{"not found", endlessly("HTTP/1.1 404 \x1b[31mNot Found\r\n\r\n", "body"), ErrProtocol, "HTTP status 404 Not Found for /derp/latency-check"},
		{"an interim answer", answering("HTTP/1.1 103 Early Hints\r\n\r\n"), ErrProtocol, "HTTP status 103"},
		{"a huge header", endlessly("HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("y", 100)+"\r\n"), ErrProtocol, "header of more than 16384 bytes"},
		{"no HTTP", answering("SSH-2.0-OpenSSH\r\n"), ErrProtocol, "not HTTP"},
		{"bad HTTP", answering("HTTP/1.1 abc\r\n\r\n"), ErrProtocol, "cannot be read"},
		{"an end", func(s *side) { s.request() }, io.ErrUnexpectedEOF, ""},
		{"an end at once", func(*side) {}, nil, "relay.example.com"}, // EOF, or a broken connection
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := startRelay(t, key.Private{}, serverTLS(a.issue(host)), test.script)
			cfg := relay.config(t, "https://"+host+"/derp")
			cfg.RootCAs, cfg.Key = a.pool(), key.Private{}
			start := time.Now()
			took, err := Latency(t.Context(), cfg)
			if all := time.Since(start); took > all {
				t.Errorf("%v in %v", took, all)
			}
			if test.err == nil && test.text == "" {
				if err != nil || took <= 0 {
					t.Errorf("%v, %v", took, err)
				}
				return
			}
			if err == nil || !isLike(err, test.err) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%v, %v; want %v with %q", took, err, test.err, test.text)
			}
		})
	}
}

// isLike is errors.Is, and for a *StatusError compares what it says.
func isLike(err, want error) bool {
	var got, status *StatusError
	if errors.As(want, &status) {
		return errors.As(err, &got) && *got == *status
	}
	return want == nil || errors.Is(err, want)
}

func TestLatencyRequest(t *testing.T) {
	var got string
	relay := startRelay(t, key.Private{}, nil, func(s *side) {
		got, _ = s.request()
		s.write([]byte(latencyAnswer))
	})
	if _, err := Latency(t.Context(), relay.config(t, "http://relay.example.com:3340/derp")); err != nil {
		t.Fatal(err)
	}
	relay.stop()
	const want = "GET /derp/latency-check HTTP/1.1\r\nHost: relay.example.com:3340\r\nUser-Agent: Go-http-client/1.1\r\nConnection: close\r\n\r\n"
	if got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
}

// What connecting takes does not count, what answering takes does.
func TestLatencyIsThatOfTheAnswer(t *testing.T) {
	const slow, answer = 400 * time.Millisecond, 50 * time.Millisecond
	server := serverTLS(newAuthority(t).issue("relay.example.com"))
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { time.Sleep(slow); return nil, nil }
	synctest.Test(t, func(t *testing.T) {
		cfg := pipeRelay(t, func(s *side) {
			over := tls.Server(s.conn, server)
			if _, err := http.ReadRequest(bufio.NewReader(over)); err != nil {
				t.Error(err)
			}
			time.Sleep(answer)
			io.WriteString(over, latencyAnswer)
		})
		cfg.URL, cfg.InsecureSkipVerify = "https://relay.example.com", true
		dial := cfg.DialContext
		cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(slow)
			return dial(ctx, network, addr)
		}
		if took, err := Latency(t.Context(), cfg); err != nil || took != answer {
			t.Errorf("%v, %v; want %v", took, err, answer)
		}
	})
}

func TestLatencyWantsTheRightCertificate(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue("relay.example.com")
	relay := startRelay(t, key.Private{}, serverTLS(cert), answering(latencyAnswer))
	for _, test := range []struct {
		name string
		cfg  Config
		want error
	}{
		{"another name", Config{URL: "https://other.example.com", RootCAs: a.pool()}, ErrCertificate},
		{"nobody known", Config{URL: "https://relay.example.com", RootCAs: newAuthority(t).pool()}, ErrCertificate},
		{"another pin", Config{URL: "https://relay.example.com", CertName: pin.Prefix + strings.Repeat("0", 64)}, ErrPinMismatch},
		{"the pin", Config{URL: "https://relay.example.com", CertName: pinOf(cert)}, nil},
		{"none looked at", Config{URL: "https://192.0.2.1", InsecureSkipVerify: true}, nil},
	} {
		reach := relay.config(t, test.cfg.URL)
		test.cfg.DialContext, test.cfg.Proxy = reach.DialContext, reach.Proxy
		if _, err := Latency(t.Context(), test.cfg); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// Wherever the relay falls silent, the context ends the wait.
func TestLatencyEndsWithTheContext(t *testing.T) {
	a := newAuthority(t)
	config := serverTLS(a.issue("relay.example.com"))
	for name, silence := range map[string]struct {
		tls    *tls.Config
		script func(*side)
	}{
		"in TLS":        {nil, func(s *side) { s.drain() }},
		"in the answer": {config, answering("")},
		"in its header": {config, answering("HTTP/1.1 200 OK\r\n")},
	} {
		relay := startRelay(t, key.Private{}, silence.tls, silence.script)
		cfg := relay.config(t, "https://relay.example.com")
		cfg.RootCAs = a.pool()
		why := errors.New("nobody wants to know any more")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
		if _, err := Latency(ctx, cfg); !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Latency(ctx, cfg); !errors.Is(err, why) {
			t.Errorf("%s: %v from the beginning", name, err)
		}
		relay.stop()
	}
}

func TestLatencyRefusesWhatIsNoRelay(t *testing.T) {
	for _, cfg := range []Config{{}, {URL: "ftp://relay.example.com"}, {URL: "https://r.example", CertName: "sha256-raw:x"}} {
		cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
			t.Error("connected")
			return nil, net.ErrClosed
		}
		if _, err := Latency(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), "measure relay: ") {
			t.Error(err)
		}
	}
}

func TestLatencyThroughAProxy(t *testing.T) {
	a := newAuthority(t)
	relay := startRelay(t, key.Private{}, serverTLS(a.issue("relay.example.com")), answering(latencyAnswer))
	proxy := startProxy(t, nil, connected, relay)
	cfg := relay.config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	proxy.use(t, &cfg, "http://proxy.example.net")
	if took, err := Latency(t.Context(), cfg); err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
	if len(proxy.requests) != 1 || !strings.HasPrefix(proxy.requests[0], "CONNECT relay.example.com:443 ") {
		t.Errorf("the proxy was asked %q", proxy.requests)
	}

	refusing := startProxy(t, nil, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", relay)
	refusing.use(t, &cfg, "http://proxy.example.net")
	var status *StatusError
	if _, err := Latency(t.Context(), cfg); !errors.As(err, &status) || !status.Proxy || status.Code != http.StatusProxyAuthRequired {
		t.Errorf("%v, want a refusal by the proxy", err)
	}
}
