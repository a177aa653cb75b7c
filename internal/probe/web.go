package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/proxyhint"
	"github.com/detour-relay/detour/internal/reach"
)

const maxAnswer = 16 << 10 // bytes of an HTTP header

// open connects as the client does: to the same addresses, by the same proxy, with
// the same server name. It believes whoever is there, which the check of TLS is for;
// nothing secret goes to it.
func (n *node) open(ctx context.Context) (net.Conn, error) {
	t, err := reach.New(reach.Config{
		URL: n.url.String(), RootCAs: n.dial.RootCAs, CertName: n.dial.CertName, InsecureSkipVerify: true,
		Proxy: http.ProxyURL(n.proxy), DialContext: n.dial.DialContext,
	})
	if err != nil {
		return nil, err
	}
	return t.Open(ctx)
}

// get asks for a path over a connection of its own. Redirects are not followed:
// relays do not redirect.
func (n *node) get(ctx context.Context, path string, header http.Header) (answer *http.Response, err error) {
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
	conn, err := n.open(ctx)
	if err != nil {
		return nil, err
	}
	err = reach.During(ctx, conn, func() error {
		answer, err = reach.Exchange(conn, request)
		return err
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	n.noteFront(answer)
	return answer, nil
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

// What a check of the web can fail with, whatever it asked for.
const (
	saidNothing = "nothing is said"
	hungUp      = "the connection is closed"
	redirect    = "a redirect"
)

// webTrouble is a failure without an answer.
func (n *node) webTrouble(err error, format string, args ...any) Check {
	c := fail(format, args...)
	switch cause := n.explain(err).Cause; {
	case errors.Is(err, context.DeadlineExceeded):
		c.same = saidNothing
	case errors.Is(err, reach.ErrNoAnswer):
		c.same = hungUp
	default:
		c.same = string(cause)
	}
	return c
}

// noAnswer is a failure without an answer, where it is not known better what to do.
func (n *node) noAnswer(err error, format string, args ...any) Check {
	c := n.webTrouble(err, format, args...)
	switch f := n.explain(err); {
	case f.Cause == explain.NotHTTP:
		_, remedy := f.Parts()
		return c.do("%s", remedy)
	case c.same == saidNothing:
		return c.do("see whether what listens on port %s is a relay, and not overloaded", n.port)
	case c.same == hungUp:
		return c.do("see whether what listens on port %s is a relay, its log, and what stands before it", n.port)
	case f.Remedy != "":
		return c.do("%s", f.Remedy)
	}
	return c.do("see whether what listens on port %s is a relay", n.port)
}

// checkProbe asks as browsers and clients without UDP do to measure the way to a
// relay.
func (n *node) checkProbe(ctx context.Context) Check {
	const probe, latency = "/derp/probe", "/derp/latency-check"
	for _, path := range []string{probe, latency} {
		answer, err := n.head(ctx, path)
		switch {
		case err != nil:
			return n.noAnswer(err, "%s: %s", path, n.webText(err))
		case isRedirect(answer):
			c := n.redirected(answer.Header.Get("Location"))
			c.Detail = line("%s redirects to %s", path, c.Detail)
			return c
		case n.wantsTLS(answer.StatusCode):
			return n.refused(&client.StatusError{Code: answer.StatusCode})
		case answer.StatusCode == http.StatusServiceUnavailable:
			return withStatus(503, fail("%s answers with HTTP status 503: the relay is not accepting peers now", path).
				do("see whether it restarts, and its log: it may have found itself not well"))
		case answer.StatusCode == http.StatusSwitchingProtocols:
			c := fail("%s answers with HTTP status 101, which nobody asked for", path).do("see whether what listens on port %s is a relay", n.port)
			c.same = string(explain.NotDERP)
			return c
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

// redirected explains an answer that sends us elsewhere.
func (n *node) redirected(to string) Check {
	c := fail("%.200q: a captive portal or a web server answers", to).
		do("leave the network that redirects, or have %s lead to the relay", n.host)
	if n.way().IsSecure(to) {
		c = fail("%.200q: the same host with TLS", to).do("write https://")
	}
	c.same = redirect
	return c
}

func isRedirect(answer *http.Response) bool { return answer.StatusCode/100 == 3 }

// withStatus notes the HTTP status that a check failed with.
func withStatus(code int, c Check) Check {
	c.same = sameStatus(code)
	return c
}

func sameStatus(code int) string { return fmt.Sprintf("HTTP status %d", code) }

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
	case n.explain(err).Cause == explain.NotHTTP:
		what, _ := n.explain(err).Parts()
		other, _ := errors.AsType[*client.NotHTTPError](err)
		return fmt.Sprintf("%s; it begins with %.40q", what, other.Begin)
	case errors.Is(err, reach.ErrNoAnswer), errors.Is(err, io.EOF):
		return "the connection was closed instead of an answer"
	}
	return n.trim(err)
}

// refused explains an HTTP status that came instead of an upgrade.
func (n *node) refused(refusal *client.StatusError) Check {
	if refusal.Proxy {
		return fail("the proxy answers with HTTP status %d", refusal.Code).do("%s", n.explain(refusal).Remedy)
	}
	if refusal.Code/100 == 3 {
		c := n.redirected(refusal.Redirect)
		c.Detail = line("HTTP status %d, a redirect to %s", refusal.Code, c.Detail)
		return c
	}
	if n.proxyBefore() == "" {
		n.noteProxy(proxyhint.ByPage(refusal.Code, refusal.Body))
	}
	if c, known := n.knownRefusal(refusal); known {
		return withStatus(refusal.Code, c)
	}
	c := withStatus(refusal.Code, n.noUpgrade(refusal))
	if page := refusal.Page(); page != "" && !n.wantsTLS(refusal.Code) {
		c.Detail = line("%s; it says %q", c.Detail, page)
	}
	return c
}

// refusalOf reads what an answer says; not for long.
func refusalOf(answer *http.Response) *client.StatusError {
	over := time.AfterFunc(time.Second, func() { answer.Body.Close() })
	defer over.Stop()
	return reach.RefusalOf(answer)
}

func (n *node) noUpgrade(refusal *client.StatusError) Check {
	switch code := refusal.Code; {
	case code == http.StatusOK:
		return fail("HTTP status 200 instead of an upgrade: a page answers there").
			do("correct the path of the URL (relays answer at /derp), or have %s lead to the relay, with path and Upgrade header as they are", n.host)
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
			do("%s", n.haveFront(proxyhint.Upgrade, "pass the Upgrade and Connection headers on"))
	case code == http.StatusServiceUnavailable && n.proxyBefore() != "", code == http.StatusBadGateway, code == http.StatusGatewayTimeout:
		return fail("HTTP status %d: %s does not reach the relay behind it", code, n.frontName()).
			do("start the relay, %s, and see the log of both", n.haveFront(proxyhint.Backend, "look for it where it listens"))
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
