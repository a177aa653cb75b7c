package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/proxyhint"
	"github.com/detour-relay/detour/internal/reach"
)

// noteFront keeps who answers, as he says himself; of answers of the relay behind him,
// too, since most add to them. Greetings come at the same time, but they are those of a
// relay.
func (n *node) noteFront(answer *http.Response) {
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server = line("%.60s", answer.Header.Get("Server"))
	n.noteProxy(proxyhint.ByHeader(answer.Header))
}

func (n *node) noteProxy(found proxyhint.Proxy) {
	if found != "" {
		n.front.Store(&found)
	}
}

// proxyBefore is what stands before the relay, empty if that is not known.
func (n *node) proxyBefore() proxyhint.Proxy {
	if found := n.front.Load(); found != nil {
		return *found
	}
	return ""
}

// frontName is what to call what stands before the relay.
func (n *node) frontName() string {
	return cmp.Or(string(n.proxyBefore()), "what stands before the relay")
}

// haveFront says what the proxy has to do, and the line of its configuration for it.
func (n *node) haveFront(about proxyhint.Trouble, what string) string {
	text := fmt.Sprintf("have %s %s", n.frontName(), what)
	if line := n.proxyBefore().Line(about); line != "" {
		text += " (" + line + ")"
	}
	return text
}

// notBelieved is for a relay that cannot read a request at all.
const notBelieved = "if the proxy sends a PROXY header (HAProxy send-proxy, nginx proxy_protocol), name it in the relay's trusted-proxies, or have it send none"

// unreadable is what net/http says of what is no request, in relays, too.
const unreadable = "400 Bad Request"

// What relays say of requests that have lost something on the way, ours and derper.
var noUpgradeWords = []string{"this request has no Upgrade header", "DERP requires connection upgrade"}

// homeWords are in the pages of relays at paths without a meaning, ours and derper's.
var homeWords = []string{"<title>DERP relay</title>", "This is a Tailscale DERP server", "<h1>DERP</h1>"}

// knownRefusal explains what is a relay's own word, so that the request has come through
// to it, but not as it was sent.
func (n *node) knownRefusal(refusal *client.StatusError) (c Check, known bool) {
	begins := func(words ...string) bool {
		for _, word := range words {
			if strings.HasPrefix(refusal.Body, word) {
				return true
			}
		}
		return false
	}
	switch code := refusal.Code; {
	case code == http.StatusBadRequest && begins(reach.WordNoOrigin):
		return n.noOrigin(refusal.Body), true
	case code == http.StatusBadRequest && n.useTLS && refusal.Body == unreadable:
		return fail("HTTP status 400: the relay cannot read what is sent to it by %s", n.frontName()).do(notBelieved), true
	case code == http.StatusTooManyRequests && refusal.OwnWord():
		return fail("HTTP status 429: the relay takes no more connections from here now").
			do("check again, or raise accept.limit of the relay; if all peers share one address there, have the proxy say whom it brings"), true
	case refusal.Stopping():
		return fail("HTTP status 503: the relay is shutting down").do("check again when it runs"), true
	case code == http.StatusUpgradeRequired && begins(noUpgradeWords...):
		return fail("HTTP status 426: the request reaches the relay, but without its Upgrade header").
			do("%s", n.haveFront(proxyhint.Upgrade, "pass the Upgrade and Connection headers on")), true
	case code == http.StatusUpgradeRequired && strings.Contains(refusal.Body, "at least HTTP/1.1"):
		return fail("HTTP status 426: the relay is asked in HTTP/1.0").
			do("%s", n.haveFront(proxyhint.OldHTTP, "ask the relay in HTTP/1.1")), true
	case code == http.StatusUpgradeRequired && strings.Contains(refusal.Body, "Connection header"):
		return fail("HTTP status 426: the request reaches the relay without Connection: Upgrade").
			do("%s", n.haveFront(proxyhint.Upgrade, "pass the Connection header on, too")), true
	case code == http.StatusOK && containsAny(refusal.Body, homeWords):
		return fail("HTTP status 200: the relay is asked for another path than %s: its home page answers", n.url.Path).
			do("%s", n.haveFront(proxyhint.Path, "pass the path on as it is, or correct that of the URL")), true
	}
	return c, false
}

func containsAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// noOrigin tells why the relay cannot make out whom a proxy brings that it believes.
func (n *node) noOrigin(body string) Check {
	_, why, _ := strings.Cut(body, "whom it brings: ")
	why, _, _ = strings.Cut(why, ". Have it")
	return fail("HTTP status 400: the relay believes %s, but cannot make out whom it brings: %.80s", n.frontName(), why).
		do("%s", n.haveFront(proxyhint.Origin, "say whom it brings, and take out what peers say themselves"))
}

// wrongOrigin tells from where the relay takes a peer of ours to come, if that can only be
// the proxy; empty: it need not be. Between us and the relay our address may change, so it
// is no sign by itself that it is another.
func wrongOrigin(local, remote, seen netip.Addr) string {
	local, remote, seen = local.Unmap(), remote.Unmap(), seen.Unmap()
	switch {
	case seen == local:
		return ""
	case seen.IsLoopback():
		return fmt.Sprintf("%v, which is its own machine", seen)
	case seen.IsPrivate() && remote.IsGlobalUnicast() && !remote.IsPrivate():
		return fmt.Sprintf("%v, which is a private address", seen)
	}
	return ""
}

// onlyHTTP2 finds out whether who hangs up, or says what is no HTTP, would speak HTTP/2.
func (n *node) onlyHTTP2(ctx context.Context, err error) (c Check, found bool) {
	if !n.useTLS || n.proxy != nil || !errors.Is(err, reach.ErrNoAnswer) && n.explain(err).Cause != explain.NotHTTP {
		return c, false
	}
	if n.offers(ctx, "h2") != "h2" || n.offers(ctx, "http/1.1") == "http/1.1" {
		return c, false
	}
	c = fail("what listens there speaks HTTP/2 only, which knows no such upgrade").
		do("%s", n.haveFront(proxyhint.HTTP2, "offer HTTP/1.1, too"))
	c.same = hungUp
	return c, true
}

// offers returns the protocol that is agreed on if we know only this one.
func (n *node) offers(ctx context.Context, protocol string) string {
	raw, err := n.dial.DialContext(ctx, "tcp", n.addr())
	if err != nil {
		return ""
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{ServerName: n.host, NextProtos: []string{protocol}, InsecureSkipVerify: true})
	if conn.HandshakeContext(ctx) != nil {
		return ""
	}
	return conn.ConnectionState().NegotiatedProtocol
}
