package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/detour-relay/detour/client"
)

const maxAnswer = 16 << 10 // bytes of an HTTP header

// transport connects as the client does: to the same addresses, by the same proxy.
// It does not verify the relay, which the check of TLS is for; nothing secret goes
// to it.
func (n *node) transport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyURL(n.proxy),
		DialContext:            n.dial.DialContext,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true, VerifyConnection: n.verifyProxy},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswer,
	}
}

// verifyProxy verifies an https proxy, which may get a password.
func (n *node) verifyProxy(state tls.ConnectionState) error {
	if n.proxy == nil || state.ServerName == n.sni() {
		return nil
	}
	intermediates := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		DNSName: n.proxy.Hostname(), Roots: n.dial.RootCAs, Intermediates: intermediates,
	})
	return err
}

// get asks for a path over a connection of its own. Redirects are not followed:
// relays do not redirect.
func (n *node) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	at := url.URL{Scheme: n.url.Scheme, Host: n.url.Host, Path: path}
	if path == n.url.Path {
		at.RawQuery = n.url.RawQuery
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		request.Header = header
	}
	return n.transport().RoundTrip(request)
}

// head asks for a path and returns what came back, but for the body, which nobody
// reads.
func (n *node) head(ctx context.Context, path string) (*http.Response, error) {
	answer, err := n.get(ctx, path, nil)
	if err == nil {
		answer.Body.Close()
	}
	return answer, err
}

// webTrouble is a failure without an answer.
func (n *node) webTrouble(err error, format string, args ...any) Check {
	c := fail(format, args...)
	c.silent = errors.Is(err, context.DeadlineExceeded)
	return c
}

// checkProbe asks as browsers and clients without UDP do to measure the way to a
// relay.
func (n *node) checkProbe(ctx context.Context) Check {
	const probe, latency = "/derp/probe", "/derp/latency-check"
	for _, path := range []string{probe, latency} {
		answer, err := n.head(ctx, path)
		switch {
		case err != nil:
			return n.webTrouble(err, "%s: %s", path, n.webText(err)).do("see whether what listens on port %s is a relay", n.port)
		case isRedirect(answer):
			return fail("%s redirects to %.200q: a captive portal or a web server answers", path, answer.Header.Get("Location")).
				do("leave the network that redirects, or have %s lead to the relay", n.host)
		case n.wantsTLS(answer.StatusCode):
			return n.refused(&client.StatusError{Code: answer.StatusCode})
		case answer.StatusCode == http.StatusServiceUnavailable:
			return withStatus(503, fail("%s answers with HTTP status 503: the relay is not accepting peers now", path).
				do("see whether it restarts, and its log: it may have found itself not well"))
		case answer.StatusCode != http.StatusOK:
			return withStatus(answer.StatusCode, fail("%s answers with HTTP status %d", path, answer.StatusCode).
				do("have what stands before the relay pass %s on to it", path))
		case answer.Header.Get("Access-Control-Allow-Origin") != "*":
			return warn("%s answers without Access-Control-Allow-Origin: *, so browsers cannot measure the region", path).
				do("have what stands before the relay leave this header as it is")
		}
	}
	n.answers = true
	return ok("%s and %s answer", probe, latency)
}

func isRedirect(answer *http.Response) bool { return answer.StatusCode/100 == 3 }

// withStatus notes the HTTP status that a check failed with.
func withStatus(code int, c Check) Check {
	c.status = code
	return c
}

// wantsTLS tells how servers answer to plain HTTP on a port for TLS. One that has
// answered a probe is none.
func (n *node) wantsTLS(code int) bool {
	return code == http.StatusBadRequest && !n.useTLS && !n.answers
}

// webText is what an HTTP request failed with.
func (n *node) webText(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF):
		return "the connection was closed instead of an answer"
	}
	return err.Error()
}

// refused explains an HTTP status that came instead of an upgrade.
func (n *node) refused(refusal *client.StatusError) Check {
	if refusal.Proxy {
		return fail("the proxy answers with HTTP status %d", refusal.Code).do("%s", n.explain(refusal).Remedy)
	}
	return withStatus(refusal.Code, n.noUpgrade(refusal))
}

func (n *node) noUpgrade(refusal *client.StatusError) Check {
	switch code := refusal.Code; {
	case code/100 == 3:
		return fail("HTTP status %d, a redirect to %.200q: a captive portal or a web server answers", code, refusal.Redirect).
			do("leave the network that redirects, or have %s lead to the relay", n.host)
	case code == http.StatusOK:
		return fail("HTTP status 200 instead of an upgrade: a page answers there").
			do("correct the path of the URL (relays answer at /derp), or have %s lead to the relay", n.host)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fail("HTTP status %d: something before the relay refuses us", code).
			do("let everybody through to %s: relays admit by key, after the upgrade", n.url.Path)
	case code == http.StatusNotFound:
		return fail("HTTP status 404: there is no relay at %s", n.url.Path).
			do("correct the path of the URL (relays answer at /derp), or switch DERP on at the relay")
	case n.wantsTLS(code):
		return fail("HTTP status 400: probably a TLS port that was asked in plain HTTP").do("write https://")
	case code == http.StatusBadRequest, code == http.StatusUpgradeRequired,
		code == http.StatusNotImplemented, code == http.StatusMethodNotAllowed:
		return fail("HTTP status %d: the request to upgrade does not reach the relay", code).
			do("have what stands before the relay pass the Upgrade and Connection headers on")
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return fail("HTTP status %d: the relay, or what stands before it, wants no more connections now", code).
			do("see whether it restarts or is overloaded, and check again")
	case code/100 == 5:
		return fail("HTTP status %d: what stands before the relay does not reach it", code).
			do("start the relay, and see the log of what stands before it")
	default:
		return fail("HTTP status %d instead of an upgrade", code).do("see whether what listens on port %s is a relay", n.port)
	}
}
