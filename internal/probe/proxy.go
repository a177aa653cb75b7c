package probe

import (
	"context"
	"net/http"
	"net/url"
)

// checkProxy finds the HTTP proxy that clients of this machine use for the relay.
// They ask for it as for an https URL.
func (n *node) checkProxy(context.Context) Check {
	asked := &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: n.url.Host}, Header: http.Header{}}
	proxy, err := n.dial.Proxy(asked)
	switch {
	case err != nil:
		return fail("the proxy of the environment cannot be used: %v", err).do("correct HTTPS_PROXY in the environment")
	case proxy == nil:
		return ok("none in the way")
	}
	n.proxy = proxy
	return warn("connections go through %s, so this says little about the relay itself", proxy.Redacted()).
		do("add %s to NO_PROXY to check it directly", n.host)
}
