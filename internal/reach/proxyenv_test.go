package reach

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http/httpproxy"
)

// A variable that means a proxy is obeyed, or said to be unreadable; never passed over.
func TestProxyVariables(t *testing.T) {
	for value, want := range map[string]string{ // the proxy; "": none; "error"
		"":                                  "",
		"http://proxy.test:3128":            "http://proxy.test:3128",
		"proxy.test:3128":                   "http://proxy.test:3128",
		"proxy.test":                        "http://proxy.test",
		"http://proxy.test/":                "http://proxy.test/",
		"https://proxy.test":                "https://proxy.test",
		"http://u:p%40ss@proxy.test:1":      "http://u:p%40ss@proxy.test:1",
		"http://[::1]:3128":                 "http://[::1]:3128",
		"socks5://proxy.test:1080":          "socks5://proxy.test:1080", // refused elsewhere
		"http://u:sec%ret@proxy.test:3128":  "error",
		"http://u:sec%@proxy.test":          "error",
		"u:sec%ret@proxy.test:3128":         "error",
		"http://u:sec#ret@proxy.test:3128":  "error",
		"http://u:sec/ret@proxy.test:3128":  "error",
		"http://u:sec?ret@proxy.test:3128":  "error",
		"http://u:sec ret@proxy.test:3128":  "error",
		"http://proxy.test:port":            "error",
		"http://proxy.test:secret:3128":     "error",
		"http://":                           "error",
		"http:///":                          "error",
		"http://pro xy.test":                "error",
		"http://[::1":                       "error",
		"://proxy.test":                     "error",
		"http//proxy.test:secret":           "error",
		"http://proxy.test:3128/secretpath": "error",
		"\"http://proxy.test:3128\"":        "error",
		"http://proxy.test:3128\n":          "error",
	} {
		asked := &url.URL{Scheme: "https", Host: "relay.test:8443"}
		for _, test := range []struct {
			noProxy string
			want    string
		}{{"", want}, {"other.test", want}, {"relay.test", ""}, {"*", ""}} {
			got, err := proxyFrom(&httpproxy.Config{HTTPSProxy: value, NoProxy: test.noProxy}, asked)
			switch {
			case test.want == "error":
				if err == nil {
					t.Errorf("%q: %v, want an error", value, got)
				} else if strings.Contains(err.Error(), "sec") || strings.Contains(err.Error(), "ret") || !strings.Contains(err.Error(), "HTTPS_PROXY") {
					t.Errorf("%q: %v has a secret in it, or does not name the variable", value, err)
				}
			case err != nil || got == nil && test.want != "" || got != nil && got.String() != test.want:
				t.Errorf("%q, NO_PROXY %q: %v, %v, want %q", value, test.noProxy, got, err, test.want)
			}
		}
	}
}

// Hosts on this machine have never a proxy, whatever the variable says.
func TestLoopbackNeedsNoProxy(t *testing.T) {
	for _, host := range []string{"localhost:1", "127.0.0.1:1", "[::1]:1"} {
		if got, err := proxyFrom(&httpproxy.Config{HTTPSProxy: "http://%"}, &url.URL{Scheme: "https", Host: host}); got != nil || err != nil {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
}
