package probe

import (
	"crypto/tls"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// An upgrade that fails where a WebSocket at the same URL comes through is a
// proxy's doing, whatever it answers.
func TestUpgradeFailsAndWebSocketPasses(t *testing.T) {
	answers := map[string]func(http.ResponseWriter){"hangs up": nil}
	for _, code := range []int{200, 204, 301, 302, 400, 401, 403, 404, 405, 418, 421, 426, 429, 500, 501, 502, 503, 504} {
		answers[strconv.Itoa(code)] = func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://portal.test/")
			w.Header().Set("Server", "envoy")
			w.WriteHeader(code)
		}
	}
	for name, answer := range answers {
		for _, scheme := range []string{"http", "https"} {
			if scheme == "http" && name != "400" && name != "403" {
				continue // only what is told otherwise without TLS
			}
			t.Run(name+" "+scheme, func(t *testing.T) {
				t.Parallel()
				checks := checkedURL(t, scheme, func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/derp" || r.Header.Get("Upgrade") != "DERP" {
						return false
					}
					if answer == nil {
						conn, _, err := http.NewResponseController(w).Hijack()
						if err == nil {
							conn.Close()
						}
					} else {
						answer(w)
					}
					return true
				})
				inOurWords(t, checks)
				who := `a proxy before the relay \(server: envoy\) refuses Upgrade: DERP, while WebSocket passes: HTTP status ` + name
				if strings.HasPrefix(name, "30") {
					who += `, a redirect to "https://portal\.test/"$`
				}
				if answer == nil {
					who = "a proxy before the relay refuses Upgrade: DERP, while WebSocket passes: the connection was closed"
				}
				want(t, checks, "upgrade", Fail, who, "pass upgrades of type derp on")
				wantNoOther(t, checks, "upgrade", "tls")
				want(t, checks, "login", Skip, "needs upgrade", "")
				want(t, checks, "websocket", OK, "logged in", "")
			})
		}
	}
}

// checkedURL checks a relay by its URL, without verifying it.
func checkedURL(t *testing.T, scheme string, answer func(http.ResponseWriter, *http.Request) bool) []Check {
	t.Helper()
	s := newScript()
	s.http = answer
	cert := goodCert(t)
	if scheme == "http" {
		cert = nil
	}
	dial := urlOf(scheme, serve(t, cert, s))
	dial.InsecureSkipVerify = scheme == "https"
	return checked(t, Config{Dial: dial}).Regions[0].Nodes[0].Checks
}

// Without a WebSocket to compare with, the answer itself is what there is to go by.
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
		{"bad request", 400, "does not reach the relay", "pass the Upgrade and Connection headers on"},
		{"busy", 503, "wants no more connections now", "check again"},
		{"no backend", 502, "does not reach the relay behind it", "start the relay"},
		{"teapot", 418, "HTTP status 418 instead of an upgrade", "is a relay"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			checks := checkedURL(t, "https", func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/derp" && r.Header.Get("Upgrade") != "" {
					w.Header().Set("Location", "https://portal.test/")
					w.WriteHeader(test.status)
					return true
				}
				return false
			})
			want(t, checks, "upgrade", Fail, test.what, test.do)
			wantNoOther(t, checks, "upgrade", "websocket", "tls")
		})
	}
}

// What a relay says of itself shows what became of the request on the way, and who has
// passed it on says which line to change.
func TestProxyIsNamed(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		server string
		body   string
		what   string
		do     string
	}{
		{"no upgrade, nginx", 426, "nginx", `this request has no Upgrade header; a DERP connection needs`, "reaches the relay, but without its Upgrade header", `have nginx .*proxy_set_header Upgrade`},
		{"no upgrade, derper", 426, "", "DERP requires connection upgrade\n", "reaches the relay, but without its Upgrade header", "have what stands before the relay pass"},
		{"old HTTP", 426, "nginx", `WebSocket protocol violation: handshake request must be at least HTTP/1.1: "HTTP/1.0"`, "asked in HTTP/1.0", `have nginx .*proxy_http_version 1.1`},
		{"no Connection", 426, "Caddy", `WebSocket protocol violation: Connection header "close" does not contain Upgrade`, "without Connection: Upgrade", `have Caddy `},
		{"path", 200, "envoy", "<html><head><title>DERP relay</title>", "another path than /derp", `have Envoy .*prefix_rewrite`},
		{"path, derper", 200, "", "<html><body>\n<h1>DERP</h1>\n<p>\n  This is a Tailscale DERP server.", "another path than /derp", "as it is"},
		{"not believed", 400, "", "400 Bad Request", "cannot read what is sent to it by what stands before the relay", "trusted-proxies"},
		{"no address", 400, "Apache/2.4", "the relay believes the proxy that this request came by, and cannot make out whom it brings: the proxy does not say. Have it", "believes Apache, .*does not say$", `RequestHeader unset Forwarded`},
		{"too many", 429, "", "this relay takes no more connections from there for now", "takes no more connections from here", "accept.limit"},
		{"stopping", 503, "", "this relay is shutting down; try again", "is shutting down", "check again"},
		{"HAProxy's page", 503, "", "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n", "503: HAProxy does not reach the relay", "start the relay, have HAProxy"},
		{"Traefik's page", 502, "", "Bad Gateway", "502: Traefik does not reach the relay", "have Traefik"},
		{"Cloudflare", 400, "cloudflare", "", "does not reach the relay", "have Cloudflare .*grey cloud"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			checks := checkedURL(t, "https", func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/derp" || r.Header.Get("Upgrade") == "" {
					return false
				}
				w.Header().Set("Server", test.server)
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
				return true
			})
			want(t, checks, "upgrade", Fail, test.what, test.do)
			wantNoOther(t, checks, "upgrade", "websocket", "tls")
		})
	}
}

// What speaks HTTP/2 only is told so, also if it hangs up without a word.
func TestHTTP2Only(t *testing.T) {
	cert := goodCert(t)
	listener := must(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2"}}))(t)
	var open sync.WaitGroup
	defer open.Wait()
	defer listener.Close()
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				conn.(*tls.Conn).Handshake()
				conn.Close()
			})
		}
	})
	dial := urlOf("https", portOf(listener.Addr()))
	dial.InsecureSkipVerify = true
	checks := checked(t, Config{Dial: dial}).Regions[0].Nodes[0].Checks
	want(t, checks, "upgrade", Fail, "speaks HTTP/2 only", "offer HTTP/1.1, too")
	wantNoOther(t, checks, "upgrade", "tls")
}

// What has one cause is one finding.
func TestOneCauseIsOneFinding(t *testing.T) {
	for _, code := range []int{403, 404, 500, 502, 503} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			checks := checkedURL(t, "https", func(w http.ResponseWriter, r *http.Request) bool {
				w.WriteHeader(code)
				return true
			})
			want(t, checks, "upgrade", Fail, "HTTP status "+strconv.Itoa(code), ".")
			want(t, checks, "probe", Skip, "the same as upgrade", "")
			wantNoOther(t, checks, "upgrade", "tls")
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
			"probe", Fail, "503: the relay is not accepting peers now", "it may have found itself not well"},
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
