package explain

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/detour-relay/detour/client"
)

// status is about HTTP statuses in place of an upgrade.
func (w *Way) status(err error) (Finding, bool) {
	status, ok := errors.AsType[*client.StatusError](err)
	if !ok {
		return Finding{}, false
	}
	return Finding{Status, w.statusRemedy(status)}, true
}

// IsSecure reports whether a redirect leads to the same host with TLS, which was
// asked without.
func (w *Way) IsSecure(redirect string) bool {
	to, err := url.Parse(redirect)
	return err == nil && w.Plain && to.Scheme == "https" && strings.EqualFold(to.Hostname(), w.Host)
}

func (w *Way) statusRemedy(status *client.StatusError) string {
	const retry = "it may be restarting or overloaded: try again, and see its log"
	switch code := status.Code; {
	case w.IsSecure(status.Redirect):
		return "write https://, as the redirect says"
	case status.Redirect != "" || code/100 == 3:
		return "use the relay's own URL, or leave the network that redirects"
	case code == http.StatusBadRequest && w.Plain:
		return "is this a TLS port that was asked in plain HTTP? If so, write https://"
	case code == http.StatusUpgradeRequired, code == http.StatusBadRequest, code == http.StatusNotImplemented,
		code == http.StatusMethodNotAllowed:
		return "a relay says so when the request to upgrade does not reach it: have the proxy before it pass the Upgrade and " +
			"Connection headers on, and see whether the path of the URL is right"
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired,
		code == http.StatusMisdirectedRequest:
		return "something before the relay refuses us: let everybody through to the URL's path, since relays admit by key, " +
			"after the upgrade"
	case code == http.StatusNotFound, code == http.StatusOK, code == http.StatusNoContent, code == http.StatusGone:
		return "a web server answers there: is this the URL of a relay, path included? Relays answer at /derp"
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return retry
	case code/100 == 5:
		return "what stands before the relay does not reach it: is the relay running? See the log of what stands before it"
	}
	return "is this the URL of a relay, path included?"
}
