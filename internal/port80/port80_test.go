package port80

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout bounds every wait for something that must happen.
const timeout = 2 * time.Minute

func start(t *testing.T, c Config) *Server {
	t.Helper()
	var err error
	if c.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// ask sends a request as it stands, and returns the answer.
func ask(t *testing.T, s *Server, request string) (*http.Response, string) {
	t.Helper()
	c := dial(t, s)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: strings.Fields(request)[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(timeout))
	return c
}

// What a captive portal would answer differently is answered here, and never led away.
func TestGenerate204(t *testing.T) {
	s := start(t, Config{})
	for _, method := range []string{"GET", "HEAD", "POST"} {
		answer, text := ask(t, s, method+" /generate_204?t=1 HTTP/1.1\r\nHost: 192.0.2.1\r\nX-Tailscale-Challenge: ts_192.0.2.1\r\nContent-Length: 0\r\n\r\n")
		if answer.StatusCode != 204 || answer.Header.Get("X-Tailscale-Response") != "response ts_192.0.2.1" || text != "" {
			t.Errorf("%s: %d %v %q", method, answer.StatusCode, answer.Header, text)
		}
	}
}

func TestRedirect(t *testing.T) {
	for _, c := range []struct {
		port               uint16
		hostname           string
		method, path, host string
		status             int
		location           string
	}{
		{0, "", "GET", "/", "relay.example.com", 302, "https://relay.example.com/"},
		{443, "", "HEAD", "/a/b?c=d", "relay.example.com:80", 302, "https://relay.example.com/a/b?c=d"},
		{8443, "", "GET", "/derp", "Relay.Example.com", 302, "https://relay.example.com:8443/derp"},
		{0, "", "GET", "/", "[2001:db8::1]", 302, "https://[2001:db8::1]/"},
		{8443, "", "GET", "/", "[2001:db8::1]:80", 302, "https://[2001:db8::1]:8443/"},
		{0, "", "GET", "/", "192.0.2.1", 302, "https://192.0.2.1/"},
		{0, "", "GET", "//evil.example/x", "relay.example.com", 302, "https://relay.example.com//evil.example/x"},
		{0, "", "GET", "http://other.example/x", "relay.example.com", 302, "https://other.example/x"},
		{0, "relay.example.com", "GET", "/", "a b", 400, ""},
		{0, "relay.example.com", "GET", "/", "a_b", 302, "https://relay.example.com/"},
		{0, "relay.example.com", "GET", "/", "", 302, "https://relay.example.com/"},
		{0, "", "GET", "/", "", 400, ""},
		{0, "", "POST", "/", "relay.example.com", 400, ""},
		{0, "", "CONNECT", "relay.example.com:443", "relay.example.com", 403, ""},
	} {
		s := start(t, Config{Port: c.port, Hostname: func() string { return c.hostname }})
		answer, _ := ask(t, s, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", c.method, c.path, c.host))
		if answer.StatusCode != c.status || answer.Header.Get("Location") != c.location {
			t.Errorf("%s %s at %q: %d %q, want %d %q", c.method, c.path, c.host, answer.StatusCode, answer.Header.Get("Location"), c.status, c.location)
		}
	}
}

func TestChallengeIsAskedFirst(t *testing.T) {
	s := start(t, Config{Challenge: func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/.well-known/acme-challenge/known" {
			return false
		}
		io.WriteString(w, "known.thumbprint")
		return true
	}})
	if answer, text := ask(t, s, "GET /.well-known/acme-challenge/known HTTP/1.1\r\nHost: relay.example.com\r\n\r\n"); answer.StatusCode != 200 || text != "known.thumbprint" {
		t.Errorf("%d %q", answer.StatusCode, text)
	}
	answer, _ := ask(t, s, "GET /.well-known/acme-challenge/other HTTP/1.1\r\nHost: relay.example.com\r\n\r\n")
	if want := "https://relay.example.com/.well-known/acme-challenge/other"; answer.StatusCode != 302 || answer.Header.Get("Location") != want {
		t.Errorf("%d %v", answer.StatusCode, answer.Header)
	}
}

// Who stalls gives way to who comes.
func TestTheOldestGivesWay(t *testing.T) {
	s := start(t, Config{MaxConns: 3, Timeout: timeout})
	var stalled []net.Conn
	for range 3 {
		c := dial(t, s)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
		stalled = append(stalled, c)
	}
	for range 3 {
		if answer, _ := ask(t, s, "GET /generate_204 HTTP/1.1\r\nHost: x\r\n\r\n"); answer.StatusCode != 204 {
			t.Errorf("status %d", answer.StatusCode)
		}
	}
	if n, err := stalled[0].Read(make([]byte, 1)); err == nil {
		t.Errorf("the oldest is still here, and has read %d bytes", n)
	}
}

// Who says nothing is closed.
func TestSlowRequestsEnd(t *testing.T) {
	s := start(t, Config{Timeout: time.Millisecond})
	if _, err := io.Copy(io.Discard, dial(t, s)); os.IsTimeout(err) { // reset is as good as closed
		t.Error(err)
	}
}

func TestConfigRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for want, c := range map[string]Config{
		"Listener is missing": {}, "MaxConns and": {Listener: l, MaxConns: -1}, "Timeout cannot": {Listener: l, Timeout: -1},
	} {
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	var none *Server
	if none.Addr() != "" || none.Serve() != nil || none.Close() != nil {
		t.Error("a nil server does something")
	}
}
