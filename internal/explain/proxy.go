package explain

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/detour-relay/detour/client"
)

// proxy is about the way to an HTTP proxy, and about what it says.
func (w *Way) proxy(err error) (Finding, bool) {
	status, refused := errors.AsType[*client.StatusError](err)
	if !refused || !status.Proxy {
		return Finding{}, false
	}
	see := fmt.Sprintf("see %s, or name %s in NO_PROXY to go without it", w.Words.Proxy, w.Host)
	switch status.Code {
	case http.StatusProxyAuthRequired:
		return Finding{Proxy, "the proxy wants another user or password: " + see}, true
	case http.StatusForbidden, http.StatusUnauthorized, http.StatusMethodNotAllowed:
		return Finding{Proxy, "the proxy does not let us through to this host and port: have it allow CONNECT there; " + see}, true
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusNotFound:
		return Finding{Proxy, "the proxy finds no way to the host: is the host name right, and does the proxy know it? " + see}, true
	}
	return Finding{Proxy, see}, true
}
