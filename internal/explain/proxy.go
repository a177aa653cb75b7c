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
	if refused && status.Proxy {
		return Finding{Proxy, w.proxyStatus(status.Code)}, true
	}
	failed, ok := errors.AsType[*client.ProxyError](err)
	if !ok {
		return Finding{}, false
	}
	if failed.Proxy == "" { // which one to use cannot be found out
		return Finding{Proxy, fmt.Sprintf("correct %s", w.Words.Proxy)}, true
	}
	return Finding{Proxy, w.proxyFailure(failed.Err) + ": " + w.seeProxy()}, true
}

func (w *Way) seeProxy() string {
	return fmt.Sprintf("see %s, or name %s in NO_PROXY to go without it", w.Words.Proxy, w.Host)
}

func (w *Way) proxyStatus(code int) string {
	switch code {
	case http.StatusProxyAuthRequired:
		return "the proxy wants another user or password: " + w.seeProxy()
	case http.StatusForbidden, http.StatusUnauthorized, http.StatusMethodNotAllowed:
		return "the proxy does not let us through to this host and port: have it allow CONNECT there; " + w.seeProxy()
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusNotFound:
		return "the proxy finds no way to the host: is the host name right, and does the proxy know it? " + w.seeProxy()
	}
	return w.seeProxy()
}

// proxyFailure says what is wrong with the way to the proxy, in the words of Cause.
func (w *Way) proxyFailure(err error) string {
	way := Way{Now: w.Now, Words: w.Words}
	switch cause := Explain(err, way).Cause; cause {
	case NoName:
		return "the DNS knows no such proxy"
	case Refused:
		return "nothing listens at the proxy's address"
	case NoRoute, NoDNS:
		return "there is no way to the proxy: is this machine online?"
	case Silent:
		return "the proxy does not answer"
	case Cut:
		return "the proxy closes the connection"
	case NotTLS, TLSRefused:
		return "the proxy does not speak TLS: write http:// for it"
	case Clock, Certificate:
		return "the proxy's certificate is not accepted"
	}
	return "the proxy cannot be used"
}
