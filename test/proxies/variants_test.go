package proxies

import (
	"errors"
	"slices"
	"testing"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
)

// atSocket has the relay listen at a unix socket.
var atSocket = []edit{{"listen: " + theRelay, "listen: unix:" + theSockets + "relay.sock"}, {"trusted-proxies: [127.0.0.1]\n", ""}}

// What docs/proxies.md says of other ways to tell whom a proxy brings, and to meet.
func TestOtherWays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		setup setup
		proxy []edit
		relay []edit
	}{
		{"PROXY header, version 1", haproxy, []edit{{"send-proxy-v2", "send-proxy"}}, nil},
		{"X-Forwarded-For of HAProxy", haproxy,
			[]edit{{" send-proxy-v2", ""}, {"backend relay\n", "backend relay\n    option forwardfor\n    http-request del-header Forwarded\n"}},
			[]edit{{"proxy-header: required\n", ""}}},
		{"Forwarded", nginx, []edit{{`Forwarded "";  `, `Forwarded "for=$remote_addr";  `}}, nil},
		{"Forwarded alone", nginx, []edit{{`Forwarded "";  `, `Forwarded "for=$remote_addr";  `}, {"X-Forwarded-For $remote_addr", `X-Forwarded-For ""`}}, nil},
		{"nginx at a unix socket", nginx,
			[]edit{{"server {\n    listen 443", "upstream relay { server unix:" + theSockets + "relay.sock; }\nserver {\n    listen 443"}, {"http://" + theRelay, "http://relay"}}, atSocket},
		{"HAProxy at a unix socket", haproxy, []edit{{theRelay, "unix@" + theSockets + "relay.sock"}}, atSocket},
		{"Apache at a unix socket", apache, []edit{{"http://127.0.0.1:3340/", "unix:" + theSockets + "relay.sock|http://relay/"}},
			slices.Concat(atSocket, []edit{{"hostname:", "listen-group: www-data\nhostname:"}})}, // whom its workers are
	} {
		t.Run(test.name, func(t *testing.T) {
			s := begin(t, test.setup, test.proxy, test.relay)
			a, b := visit(t, s.config(client.WebSocketNever)), visit(t, s.config(client.WebSocketAlways))
			for _, v := range []*visitor{a, b} {
				if at := s.addressOf(t, v); at != s.from {
					t.Errorf("peers list says it comes from %s, want %s", at, s.from)
				}
			}
			a.tell(t, b, derp.MaxPacket)
			b.tell(t, a, derp.MaxPacket)
		})
	}
}

// Where an upgrade does not pass, a WebSocket does, and nobody has to say so.
func TestWebSocketWhereTheUpgradeDoesNotPass(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		setup setup
		proxy []edit
		code  int
	}{
		{"Apache", apache, []edit{{"upgrade=ANY", "upgrade=websocket"}}, 426},
		{"nginx", nginx, []edit{{"    location / {  ", "    if ($http_upgrade = DERP) { return 403; }\n    location / {  "}}, 403},
		{"HAProxy", haproxy, []edit{{"backend relay\n", "backend relay\n    http-request deny deny_status 501 if { req.hdr(Upgrade) -i derp }\n"}}, 501},
		{"Caddy", caddy, []edit{{"	reverse_proxy unix//run/detour/relay.sock {\n", "	@derp header Upgrade DERP\n	redir @derp https://elsewhere.example.com/\n	reverse_proxy unix//run/detour/relay.sock {\n"}}, 302},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := begin(t, test.setup, test.proxy, nil)
			conn, err := client.Dial(t.Context(), s.config(client.WebSocketNever))
			if refusal, ok := errors.AsType[*client.StatusError](err); !ok || refusal.Code != test.code {
				t.Fatalf("%v, want HTTP status %d", err, test.code)
			}
			if err == nil {
				conn.Close()
			}
			a, b := visit(t, s.config(client.WebSocketFallback)), visit(t, s.config(client.WebSocketFallback))
			if at := s.addressOf(t, a); at != s.from {
				t.Errorf("peers list says it comes from %s, want %s", at, s.from)
			}
			a.tell(t, b, derp.MaxPacket)
		})
	}
}
