package reach

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// ProxyFromEnvironment is http.ProxyFromEnvironment, except that a variable which
// cannot be read is an error: a proxy that is silently not used leads to a relay that
// cannot be reached, or past a proxy that somebody insists on. Whom NO_PROXY exempts
// does not notice.
func ProxyFromEnvironment(r *http.Request) (*url.URL, error) {
	return proxyFrom(httpproxy.FromEnvironment(), r.URL)
}

func proxyFrom(cfg *httpproxy.Config, asked *url.URL) (*url.URL, error) {
	name, value := "HTTP_PROXY", cfg.HTTPProxy
	if asked.Scheme == "https" {
		name, value = "HTTPS_PROXY", cfg.HTTPSProxy
	}
	if value == "" || readable(value) {
		proxy, err := cfg.ProxyFunc()(asked)
		if err != nil {
			err = fmt.Errorf("%s: %w", name, errUnreadable)
		}
		return proxy, err
	}
	// Whether the variable matters here, with one that can be read instead.
	cfg.HTTPProxy, cfg.HTTPSProxy = "http://proxy.invalid", "http://proxy.invalid"
	if proxy, err := cfg.ProxyFunc()(asked); proxy == nil && err == nil {
		return nil, nil
	}
	return nil, fmt.Errorf("%s: %w", name, errUnreadable)
}

// errUnreadable repeats nothing of the value, which may have a password in it.
var errUnreadable = errors.New("not the URL of a proxy: want http://user:password@host:port, " +
	"and in the password %25 for %, %40 for @, %2F for /, %3A for :, %23 for #")

// readable reports whether a value means a proxy. Some write it without http://.
func readable(value string) bool {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	return err == nil && u.Hostname() != "" && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" &&
		Usable(u.Hostname()) == nil
}
