package edge

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/detour-relay/detour/internal/reach"
)

// ask sends one request on a new connection and returns the answer, its body read.
func ask(t *testing.T, s *Server, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	c := dial(t, s)
	request := method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
	for _, h := range header {
		request += h + "\r\n"
	}
	send(t, c, []byte(request+"\r\n"))
	response := must(http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method}))(t)
	return response, string(must(io.ReadAll(response.Body))(t))
}

var browserHeaders = map[string]string{
	"Strict-Transport-Security": "", // over TLS only
	"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'; " +
		"block-all-mixed-content; object-src 'none'",
	"X-Frame-Options":        "DENY",
	"X-Content-Type-Options": "nosniff",
}

func TestRoutes(t *testing.T) {
	s := start(t, Config{})
	for _, c := range []struct {
		method, path string
		status       int
		contentType  string
		body         string // beginning of it
		cors         bool
		browser      bool
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "<!DOCTYPE html>", false, true},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "", false, true},
		{"GET", "/nothing/here", 200, "text/html; charset=utf-8", "<!DOCTYPE html>", false, true},
		{"POST", "/nothing/here", 200, "text/html; charset=utf-8", "<!DOCTYPE html>", false, true},
		{"GET", "/derp/", 200, "text/html; charset=utf-8", "<!DOCTYPE html>", false, true},
		{"GET", "//derp", 200, "text/html; charset=utf-8", "<!DOCTYPE html>", false, true},
		{"GET", "/DERP", 200, "text/html; charset=utf-8", "<!DOCTYPE html>", false, true},
		{"GET", "/derp", 426, "text/plain; charset=utf-8", "this request has no", false, false},
		{"GET", "/derp?a=b", 426, "text/plain; charset=utf-8", "this request has no", false, false},
		{"GET", "/derp/probe", 200, "", "", true, false},
		{"HEAD", "/derp/probe", 200, "", "", true, false},
		{"GET", "/derp/latency-check", 200, "", "", true, false},
		{"POST", "/derp/probe", 405, "text/plain; charset=utf-8", "use GET or HEAD", false, false},
		{"OPTIONS", "/derp/latency-check", 405, "text/plain; charset=utf-8", "use GET or HEAD", false, false},
		{"GET", "/generate_204", 204, "", "", false, false},
		{"POST", "/generate_204", 204, "", "", false, false},
		{"GET", "/robots.txt", 200, "text/plain; charset=utf-8", "User-agent: *\nDisallow: /\n", false, true},
		{"GET", "/bootstrap-dns?q=example.com", 200, "application/json", "", false, true},
		{"CONNECT", "example.com:443", 403, "text/plain; charset=utf-8", "this server is no proxy", false, false},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			response, body := ask(t, s, c.method, c.path)
			if response.StatusCode != c.status || response.Header.Get("Content-Type") != c.contentType {
				t.Errorf("status %d type %q, want %d %q", response.StatusCode, response.Header.Get("Content-Type"), c.status, c.contentType)
			}
			if !strings.HasPrefix(body, c.body) || (c.body == "" && body != "") {
				t.Errorf("body %q, want %q", body, c.body)
			}
			if got := response.Header.Get("Access-Control-Allow-Origin"); (got == "*") != c.cors {
				t.Errorf("Access-Control-Allow-Origin %q", got)
			}
			for name, value := range browserHeaders {
				want := ""
				if c.browser {
					want = value
				}
				if got := response.Header.Get(name); got != want && !(name == "X-Content-Type-Options" && c.contentType == "text/plain; charset=utf-8") {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// A relay that wants no peers says so to those who look for one, and only to them.
func TestProbesOfAnUnhealthyRelay(t *testing.T) {
	var unhealthy atomic.Bool
	s := start(t, Config{Healthy: func() bool { return !unhealthy.Load() }})
	for _, c := range []struct {
		method, path string
		unhealthy    bool
		status       int
		cors         string
	}{
		{"GET", "/derp/probe", true, 503, "*"},
		{"HEAD", "/derp/probe", true, 503, "*"},
		{"GET", "/derp/latency-check", true, 503, "*"},
		{"POST", "/derp/probe", true, 405, ""},
		{"GET", "/generate_204", true, 204, ""},
		{"GET", "/derp", true, 426, ""},
		{"GET", "/derp/probe", false, 200, "*"},
		{"GET", "/derp/latency-check", false, 200, "*"},
	} {
		unhealthy.Store(c.unhealthy)
		response, _ := ask(t, s, c.method, c.path)
		if got := response.Header.Get("Access-Control-Allow-Origin"); response.StatusCode != c.status || got != c.cors {
			t.Errorf("%s %s, unhealthy %v: status %d, CORS %q; want %d, %q", c.method, c.path, c.unhealthy, response.StatusCode, got, c.status, c.cors)
		}
	}
}

func TestGenerate204(t *testing.T) {
	s := start(t, Config{})
	for _, v := range testVectors(t).Generate204 {
		var header []string
		if v.Challenge != "" {
			header = []string{"X-Tailscale-Challenge: " + v.Challenge}
		}
		response, _ := ask(t, s, "GET", "/generate_204", header...)
		got, has := response.Header["X-Tailscale-Response"]
		if response.StatusCode != v.Status || has != v.HasResponse || has && got[0] != v.Response {
			t.Errorf("challenge %q: status %d response %q, want %d %q", v.Challenge, response.StatusCode, got, v.Status, v.Response)
		}
		if got := response.Header.Get("Cache-Control"); got != v.CacheControl {
			t.Errorf("challenge %q: Cache-Control %q, want %q", v.Challenge, got, v.CacheControl)
		}
	}
}

func TestHome(t *testing.T) {
	r := testRelay(t)
	blank := start(t, Config{Relay: r, Home: "blank"})
	if response, body := ask(t, blank, "GET", "/x"); response.StatusCode != 200 || body != "" || response.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("blank: status %d %q %v", response.StatusCode, body, response.Header)
	}
	redirect := start(t, Config{Relay: r, Home: "https://example.com/relays"})
	if response, _ := ask(t, redirect, "GET", "/x"); response.StatusCode != 302 || response.Header.Get("Location") != "https://example.com/relays" {
		t.Errorf("redirect: status %d %v", response.StatusCode, response.Header)
	}
	if response, _ := ask(t, redirect, "GET", "/robots.txt"); response.StatusCode != 200 {
		t.Errorf("a known path is redirected, too: status %d", response.StatusCode)
	}
}

func TestHTTP2IsNotOffered(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	c := tls.Client(dial(t, s), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("negotiated %q", got)
	}
	// Nor does the connection preface get anywhere.
	send(t, c, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	response := must(http.ReadResponse(bufio.NewReader(c), nil))(t)
	if response.StatusCode != http.StatusHTTPVersionNotSupported {
		t.Errorf("HTTP/2 preface answered with %d", response.StatusCode)
	}
}

// A server that relays nothing answers all else as ever.
func TestWithoutDERP(t *testing.T) {
	s := start(t, Config{NoDERP: true})
	for _, c := range []struct {
		path    string
		upgrade string
		status  int
	}{
		{"/derp", "DERP", 404}, {"/derp", "websocket", 404}, {"/derp", "", 404},
		{"/derp/probe", "", 200}, {"/generate_204", "", 204}, {"/", "", 200}, {"/bootstrap-dns", "", 200},
	} {
		response, body := ask(t, s, "GET", c.path, "Upgrade: "+c.upgrade)
		if response.StatusCode != c.status || c.status == 404 && !(&reach.StatusError{Code: c.status, Body: body}).OwnWord() {
			t.Errorf("%s, upgrade %q: %d %q, want %d", c.path, c.upgrade, response.StatusCode, body, c.status)
		}
	}
}

// Who asks for a name is told, by name and address.
func TestBootstrapNames(t *testing.T) {
	s := start(t, Config{Bootstrap: func(name string, from netip.Addr) []byte { return []byte(name + " to " + from.String()) }})
	for path, want := range map[string]string{"/bootstrap-dns": " to 127.0.0.1", "/bootstrap-dns?q=a.example": "a.example to 127.0.0.1"} {
		response, body := ask(t, s, "GET", path)
		if body != want || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %q of %s, want %q", path, body, response.Header.Get("Content-Type"), want)
		}
	}
}
