// Package proxyhint tells which proxy has answered a request, by what it says of itself
// or by how its pages read, and which line of its configuration is about what goes wrong.
//
// # Limits
//
// What answers may say anything: the proxy found here is for a hint to a person only.
package proxyhint

import (
	"net/http"
	"strings"
)

// A Proxy is a kind of them, by the name that people know; empty: not known.
type Proxy string

// The proxies of which a line is known.
const (
	Nginx      Proxy = "nginx"
	HAProxy    Proxy = "HAProxy"
	Caddy      Proxy = "Caddy"
	Apache     Proxy = "Apache"
	Traefik    Proxy = "Traefik"
	Envoy      Proxy = "Envoy"
	Cloudflare Proxy = "Cloudflare"
	CloudFront Proxy = "CloudFront"
	ALB        Proxy = "AWS load balancer"
	Google     Proxy = "Google load balancer"
	Varnish    Proxy = "Varnish"
)

// names are what stands in the headers Server and Via, in lower case.
var names = []struct {
	part string
	is   Proxy
}{
	{"openresty", Nginx}, {"tengine", Nginx}, {"angie", Nginx}, {"nginx", Nginx}, {"haproxy", HAProxy}, {"caddy", Caddy},
	{"apache", Apache}, {"traefik", Traefik}, {"envoy", Envoy}, {"cloudflare", Cloudflare}, {"cloudfront", CloudFront},
	{"awselb", ALB}, {"google", Google}, {"varnish", Varnish},
}

// marks are headers that only one of them sets.
var marks = []struct {
	header string
	is     Proxy
}{
	{"Cf-Ray", Cloudflare}, {"X-Amz-Cf-Id", CloudFront}, {"X-Envoy-Upstream-Service-Time", Envoy}, {"X-Varnish", Varnish},
}

// ByHeader tells the proxy by the header of an answer.
func ByHeader(header http.Header) Proxy {
	for _, said := range []string{header.Get("Server"), strings.Join(header.Values("Via"), ",")} {
		said = strings.ToLower(said)
		for _, n := range names {
			if strings.Contains(said, n.part) {
				return n.is
			}
		}
	}
	for _, m := range marks {
		if header.Get(m.header) != "" {
			return m.is
		}
	}
	return ""
}

// pages are how the pages read that they make themselves.
var pages = []struct {
	part string
	is   Proxy
}{
	{"<center>nginx", Nginx}, {"<center>openresty", Nginx},
	{"No server is available to handle this request.", HAProxy},
	{"The server returned an invalid or incomplete response.", HAProxy},
	{"The server didn't respond in time.", HAProxy},
	{"Your browser sent an invalid request.", HAProxy},
	{"Request forbidden by administrative rules.", HAProxy},
	{"<address>Apache", Apache}, {"The proxy server received an invalid", Apache},
	{"The server is temporarily unable to service your\nrequest due to maintenance downtime", Apache},
	{"upstream connect error or disconnect/reset before headers", Envoy}, {"no healthy upstream", Envoy},
	{"Varnish cache server", Varnish},
}

// ByPage tells the proxy by the status and the beginning of a page.
func ByPage(status int, page string) Proxy {
	for _, p := range pages {
		if strings.Contains(page, p.part) {
			return p.is
		}
	}
	if (status == http.StatusBadGateway || status == http.StatusGatewayTimeout) && strings.TrimSpace(page) == http.StatusText(status) {
		return Traefik
	}
	return ""
}

// Trouble is what goes wrong between a proxy and a relay.
type Trouble int

// The troubles.
const (
	Upgrade Trouble = iota // the request to upgrade does not come through
	OldHTTP                // the relay is asked in HTTP/1.0
	Path                   // the relay is asked for another path
	Idle                   // what is silent is cut
	Backend                // the relay is not where the proxy looks
	Origin                 // it does not say whom it brings, or not clearly
	HTTP2                  // it speaks HTTP/2 only
	Port80                 // port 80 does not lead to the relay
)

// Line is what has to stand in the proxy's configuration; empty: not known.
func (p Proxy) Line(about Trouble) string { return lines[p][about] }

var lines = map[Proxy]map[Trouble]string{
	Nginx: {
		Upgrade: `proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";`,
		OldHTTP: `proxy_http_version 1.1;`,
		Path:    `location / { proxy_pass http://127.0.0.1:3340; } with nothing behind the port, not even a /, and no rewrite`,
		Idle:    `proxy_read_timeout 1h; proxy_send_timeout 1h;`,
		Backend: `proxy_pass http:// and the address that the relay listens on`,
		Origin:  `proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header Forwarded "";`,
		HTTP2:   `listen 443 ssl; of a version that offers HTTP/1.1, too`,
		Port80:  `location = /generate_204 { proxy_pass http://127.0.0.1:3340; } in the server of port 80`,
	},
	HAProxy: {
		Upgrade: `no http-request del-header of Upgrade or Connection`,
		Path:    `no http-request set-path or replace-path`,
		Idle:    `timeout tunnel 1h`,
		Backend: `server relay 127.0.0.1:3340 send-proxy-v2, with the address that the relay listens on; without send-proxy-v2 if the relay has no trusted-proxies`,
		Origin:  `send-proxy-v2 in the server's line, or option forwardfor`,
		HTTP2:   `bind :443 ssl, without proto h2 and with http/1.1 in its alpn`,
		Port80:  `http-request redirect scheme https unless { path /generate_204 }`,
	},
	Caddy: {
		Upgrade: `reverse_proxy without header_up -Upgrade or -Connection`,
		Path:    `handle in place of handle_path, and neither uri nor rewrite`,
		Idle:    `reverse_proxy without stream_timeout`,
		Backend: `reverse_proxy and the address that the relay listens on`,
		Origin:  `header_up -Forwarded, and nothing about X-Forwarded-For`,
		HTTP2:   `servers { protocols h1 h2 h3 }`,
		Port80:  `http://relay.example.com { handle /generate_204 { reverse_proxy 127.0.0.1:3340 } }`,
	},
	Apache: {
		Upgrade: `ProxyPass / http://127.0.0.1:3340/ upgrade=ANY (2.4.47 and later)`,
		OldHTTP: `no SetEnv force-proxy-request-1.0`,
		Path:    `ProxyPass / http://127.0.0.1:3340/ with nothing behind the last /, and no RewriteRule`,
		Idle:    `ProxyPass / http://127.0.0.1:3340/ upgrade=ANY timeout=3600`,
		Backend: `ProxyPass / http:// and the address that the relay listens on`,
		Origin:  `RequestHeader unset Forwarded, and no ProxyAddHeaders Off`,
		HTTP2:   `Protocols h2 http/1.1`,
		Port80:  `ProxyPass /generate_204 http://127.0.0.1:3340/generate_204 in the host of port 80`,
	},
	Traefik: {
		Upgrade: `a router without a middleware that takes Upgrade or Connection out`,
		Path:    `a router without stripPrefix, addPrefix or replacePath`,
		Backend: `loadBalancer: servers: - url: and the address that the relay listens on`,
		Origin:  `customRequestHeaders: Forwarded: "" in a headers middleware`,
		Port80:  `a router of the plain entry point with Path(` + "`/generate_204`)",
	},
	Envoy: {
		Upgrade: `upgrade_configs: - upgrade_type: derp - upgrade_type: websocket`,
		Path:    `a route without prefix_rewrite or regex_rewrite`,
		Idle:    `stream_idle_timeout: 3600s, and in the route timeout: 0s, idle_timeout: 3600s`,
		Backend: `the cluster's address, which is what the relay listens on`,
		Origin:  `use_remote_address: true, and request_headers_to_remove: [forwarded]`,
		HTTP2:   `alpn_protocols: [http/1.1], and no http2_protocol_options in the cluster`,
		Port80:  `a listener of port 80 with a route of path /generate_204`,
	},
	Cloudflare: {
		Upgrade: `it passes WebSocket only: have the DNS record DNS only (grey cloud)`,
		Idle:    `it cuts idle connections: have the DNS record DNS only (grey cloud)`,
		Port80:  `no Always Use HTTPS, or the DNS record DNS only (grey cloud)`,
	},
	CloudFront: {Upgrade: `it passes WebSocket only: have the name lead to the relay itself`},
	ALB: {
		Upgrade: `it passes WebSocket only: take a Network Load Balancer`,
		Idle:    `idle_timeout.timeout_seconds 3600, or a Network Load Balancer`,
	},
	Google: {
		Upgrade: `it passes WebSocket only: take a passthrough Network Load Balancer`,
		Idle:    `timeoutSec of the backend service, which is the whole life of a WebSocket, or a passthrough Network Load Balancer`,
	},
	Varnish: {Upgrade: `return (pipe) for /derp, with Upgrade and Connection set again in vcl_pipe`},
}
