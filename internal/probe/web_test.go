package probe

import (
	"encoding/hex"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

func TestNoUpgrade(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		what   string
		do     string
	}{
		{"page", 200, "a page answers there", "correct the path of the URL"},
		{"forbidden", 403, "403: something before the relay refuses us", "let everybody through to /derp"},
		{"not found", 404, "there is no relay at /derp", "switch DERP on"},
		{"redirect", 302, `302, a redirect to "https://portal.test/"`, "leave the network that redirects"},
		{"header dropped", 426, "does not reach the relay", "pass the Upgrade and Connection headers on"},
		{"busy", 503, "wants no more connections now", "check again"},
		{"no backend", 502, "does not reach it", "start the relay"},
		{"teapot", 418, "HTTP status 418 instead of an upgrade", "is a relay"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript()
			s.http = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/derp" && r.Header.Get("Upgrade") == "DERP" {
					w.Header().Set("Location", "https://portal.test/")
					w.WriteHeader(test.status)
					return true
				}
				return false
			}
			checks := startScript(t, s)(Config{})
			want(t, checks, "upgrade", Fail, test.what, test.do)
			wantNoOther(t, checks, "upgrade")
			want(t, checks, "login", Skip, "needs upgrade", "")
			want(t, checks, "websocket", OK, "logged in", "")
		})
	}
}

func TestPaths(t *testing.T) {
	for _, test := range []struct {
		name    string
		path    string
		upgrade string
		answer  func(http.ResponseWriter)
		check   string
		as      Status
		what    string
		do      string
	}{
		{"probe redirects", "/derp/probe", "", func(w http.ResponseWriter) {
			w.Header().Set("Location", "/login")
			w.WriteHeader(307)
		}, "probe", Fail, `/derp/probe redirects to "/login"`, "leave the network"},
		{"no latency check", "/derp/latency-check", "", func(w http.ResponseWriter) { w.WriteHeader(404) },
			"probe", Fail, "/derp/latency-check answers with HTTP status 404", "pass /derp/latency-check on"},
		{"wants no peers", "/derp/probe", "", func(w http.ResponseWriter) { w.WriteHeader(503) },
			"probe", Fail, "503: the relay wants no peers now", "it may have found itself not well"},
		{"no CORS", "/derp/probe", "", func(w http.ResponseWriter) {}, "probe", Warn, "without Access-Control", "leave this header"},
		{"no 426", "/derp", "", func(w http.ResponseWriter) {},
			"upgrade", Warn, "HTTP status 200 instead of 426", "pass such requests on"},
		{"no WebSocket", "/derp", "websocket", func(w http.ResponseWriter) { w.WriteHeader(400) },
			"websocket", Fail, "browsers cannot connect: HTTP status 400", "pass on Upgrade: websocket"},
		{"WebSocket forbidden", "/derp", "websocket", func(w http.ResponseWriter) { w.WriteHeader(403) },
			"websocket", Fail, "browsers cannot connect: HTTP status 403", "pass on Upgrade: websocket"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript()
			s.http = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == test.path && r.Header.Get("Upgrade") == test.upgrade {
					test.answer(w)
					return true
				}
				return false
			}
			checks := startScript(t, s)(Config{})
			want(t, checks, test.check, test.as, test.what, test.do)
			wantNoOther(t, checks, test.check)
		})
	}
}

func TestKeyHeaderLies(t *testing.T) {
	s := newScript()
	s.http = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Upgrade") != "DERP" {
			return false
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return true
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n")
		io.WriteString(conn, "Derp-Public-Key: "+hex.EncodeToString(make([]byte, 32))+"\r\n\r\n")
		conn.Write(derp.AppendServerKey(nil, s.key.Public()))
		return true
	}
	want(t, startScript(t, s)(Config{}), "upgrade", Fail, "Derp-Public-Key says another key", "is a relay")
}

func TestLoadBalancer(t *testing.T) {
	s, other, turn := newScript(), key.NewPrivate(), atomic.Int32{}
	s.greet = func() key.Private {
		if turn.Add(1)%2 == 0 {
			return other
		}
		return s.key
	}
	checks := startScript(t, s)(Config{})
	want(t, checks, "key", Fail, "2 keys on 5 connections: nodekey:.*, nodekey:", "take the load balancer away")
	want(t, checks, "packet", Skip, "needs key", "")
}
