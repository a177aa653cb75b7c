package proxyhint

import (
	"net/http"
	"strings"
	"testing"
)

func TestByHeader(t *testing.T) {
	for _, test := range []struct {
		header http.Header
		want   Proxy
	}{
		{http.Header{}, ""},
		{http.Header{"Server": {"nginx/1.22.1"}}, Nginx},
		{http.Header{"Server": {"openresty"}}, Nginx},
		{http.Header{"Server": {"Caddy"}}, Caddy},
		{http.Header{"Via": {"1.1 Caddy"}}, Caddy},
		{http.Header{"Server": {"Apache/2.4.71 (Debian) OpenSSL/3.0.19"}}, Apache},
		{http.Header{"Server": {"envoy"}}, Envoy},
		{http.Header{"X-Envoy-Upstream-Service-Time": {"3"}}, Envoy},
		{http.Header{"Server": {"cloudflare"}, "Cf-Ray": {"8"}}, Cloudflare},
		{http.Header{"Server": {"awselb/2.0"}}, ALB},
		{http.Header{"Via": {"1.1 google"}}, Google},
		{http.Header{"Via": {"1.1 varnish", "1.1 abc.cloudfront.net (CloudFront)"}}, CloudFront},
		{http.Header{"Server": {"thttpd"}}, ""},
	} {
		if got := ByHeader(test.header); got != test.want {
			t.Errorf("%v: %q, want %q", test.header, got, test.want)
		}
	}
}

// The pages are those of the versions that test/proxies runs.
func TestByPage(t *testing.T) {
	for _, test := range []struct {
		status int
		page   string
		want   Proxy
	}{
		{502, "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>", Nginx},
		{503, "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>", HAProxy},
		{502, "<html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body></html>", HAProxy},
		{503, "<p>The server is temporarily unable to service your\nrequest due to maintenance downtime or capacity\nproblems. Please try again later.</p>", Apache},
		{503, "upstream connect error or disconnect/reset before headers. reset reason: connection failure", Envoy},
		{503, "no healthy upstream", Envoy},
		{502, "Bad Gateway", Traefik},
		{403, "Forbidden", ""},
		{502, "", ""},
		{503, "Service Unavailable", ""},
		{200, "<title>DERP relay</title>", ""},
	} {
		if got := ByPage(test.status, test.page); got != test.want {
			t.Errorf("%d %q: %q, want %q", test.status, test.page, got, test.want)
		}
	}
}

func TestLines(t *testing.T) {
	if Proxy("").Line(Upgrade) != "" {
		t.Error("of a proxy that is not known a line is")
	}
	for p, all := range lines {
		if all[Upgrade] == "" {
			t.Errorf("%s: nothing about upgrades", p)
		}
		for trouble, text := range all {
			if text == "" || len(text) > 170 || strings.Contains(text, "\n") {
				t.Errorf("%s, %d: %q is no line", p, trouble, text)
			}
		}
	}
}
