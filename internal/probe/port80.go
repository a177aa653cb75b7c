package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/detour-relay/detour/internal/proxyhint"
)

const (
	path204         = "/generate_204"
	challengeHeader = "X-Tailscale-Challenge"
	responseHeader  = "X-Tailscale-Response"
)

// checkPort80 asks as clients do to find captive portals, for which port 80 has to
// answer itself (spec 1.9). Only what the map promises can fail.
func (n *node) checkPort80(ctx context.Context) Check {
	promised := n.node != nil && n.node.CanPort80
	host := n.host80()
	answer, err := n.ask80(ctx, host)
	switch {
	case err != nil && promised:
		return fail("the map says CanPort80, but port 80 does not answer: %s", n.text80(err)).
			do("let TCP port 80 through and have it answer %s, or take CanPort80 out", path204)
	case err != nil:
		return skip("port 80 does not answer, and nobody says that it does")
	}
	wrong := wrong204(answer, host)
	switch {
	case wrong == "" && promised:
		return ok("%s answers, with our challenge", path204)
	case wrong == "":
		return ok("%s answers, with our challenge: a map may say CanPort80", path204)
	}
	c := atMost(!promised, "%s: %s", path204, wrong)
	if code := answer.StatusCode; code >= 500 || code == http.StatusBadRequest {
		return c.do("see whether the relay runs behind what answers there, as with upgrade")
	}
	if front := proxyhint.ByHeader(answer.Header); front.Line(proxyhint.Port80) != "" {
		return c.do("have %s lead %s of port 80 to the relay: %s", front, path204, front.Line(proxyhint.Port80))
	}
	return c.do("have port 80 of the relay answer %s itself; if it does, a captive portal stands before this machine", path204)
}

// host80 is what stands in the URL: the address of the map if it has one, as with
// clients.
func (n *node) host80() string {
	if a := n.ways[0]; a.field != "" && len(a.to) > 0 {
		return a.to[0].String()
	}
	return n.host
}

// ask80 asks without a proxy, which would hide a portal.
func (n *node) ask80(ctx context.Context, host string) (*http.Response, error) {
	at := url.URL{Scheme: "http", Host: host, Path: path204}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		at.Host = "[" + host + "]"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(challengeHeader, challenge(host))
	request.Header.Set("Cache-Control", "no-cache, no-store, must-revalidate, no-transform, max-age=0")
	transport := &http.Transport{DialContext: n.dial80, DisableKeepAlives: true, MaxResponseHeaderBytes: maxAnswer}
	answer, err := transport.RoundTrip(request)
	if err == nil {
		answer.Body.Close()
	}
	return answer, err
}

// dial80 connects to the first address that lets it, whatever it is asked for.
func (n *node) dial80(ctx context.Context, _, _ string) (conn net.Conn, err error) {
	err = errors.New("no address")
	for f, a := range n.ways {
		for _, addr := range a.to {
			if conn, err = n.base(ctx, families[f].tcp, net.JoinHostPort(addr.String(), n.run.cfg.port80)); err == nil {
				return conn, nil
			}
		}
	}
	return nil, err
}

func (n *node) text80(err error) string {
	text, _ := n.connectTrouble(err)
	return text
}

func challenge(host string) string { return "ts_" + host }

// wrong204 says what is wrong with an answer, "" if nothing is.
func wrong204(answer *http.Response, host string) string {
	switch {
	case isRedirect(answer):
		return line("a redirect to %.200q, with HTTP status %d instead of 204", answer.Header.Get("Location"), answer.StatusCode)
	case answer.StatusCode != http.StatusNoContent:
		return line("HTTP status %d instead of 204", answer.StatusCode)
	case answer.Header.Get(responseHeader) != "response "+challenge(host):
		return "HTTP status 204, but without our challenge: it is not the relay that answers"
	}
	return ""
}
