package edge

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/detour-relay/detour/derp"
)

// Every way to ask for DERP works through a proxy that compares the protocol asked
// for with the one in the answer.
func TestUpgradeThroughStrictProxy(t *testing.T) {
	s := start(t, Config{})
	target := must(url.Parse("http://" + s.Addr().String()))(t)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	front := httptest.NewServer(proxy)
	defer front.Close()
	via := &Server{listener: front.Listener}
	for name, c := range map[string]struct{ headers, status, says string }{
		"DERP":       {"Upgrade: DERP\r\n", "101", ""},
		"lower case": {"Upgrade: derp\r\n", "101", ""},
		"libtelio":   {"Upgrade: WebSocket\r\n", "101", ""},
		"WebSocket": {"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
			"Sec-WebSocket-Protocol: derp\r\n", "101", ""},
		"no subprotocol": {"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
			"400", "Sec-WebSocket-Protocol"},
		"another subprotocol": {"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" +
			"Sec-WebSocket-Protocol: chat\r\n", "400", `"chat"`},
		"a list": {"Upgrade: websocket, derp\r\n", "426", "Upgrade"},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := dial(t, via)
			send(t, c2, []byte("GET /derp HTTP/1.1\r\nHost: relay.example\r\nConnection: Upgrade\r\n"+c.headers+"\r\n"))
			want := c.says
			if c.status == "101" && name != "WebSocket" {
				want = string(derp.AppendServerKey(nil, s.config.Relay.PublicKey()))
			}
			got := ""
			for b := make([]byte, 4096); !strings.Contains(got, "\r\n\r\n") || !strings.Contains(got, want); {
				n, err := c2.Read(b)
				if got += string(b[:n]); err != nil {
					t.Fatalf("received %q (%v)", got, err)
				}
			}
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.status) {
				t.Errorf("received %q", got)
			}
		})
	}
}

// HSTS is said over TLS only, and for this name only.
func TestHSTS(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t)})
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	for path, want := range map[string]string{"/": "max-age=63072000", "/robots.txt": "max-age=63072000", "/derp/probe": "", "/generate_204": ""} {
		r := must(web.Get("https://" + s.Addr().String() + path))(t)
		r.Body.Close()
		if got := r.Header.Get("Strict-Transport-Security"); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
