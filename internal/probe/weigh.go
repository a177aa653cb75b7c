package probe

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/detour-relay/detour/internal/proxyhint"
)

// web are the checks that ask the same server by HTTP, each in its way.
var web = []string{"probe", "upgrade", "websocket"}

// weigh looks at what the checks of a connection have found together, since one of
// them knows what another cannot: it blames who is to blame, and makes one finding
// of what has one cause.
func (n *node) weigh() {
	n.blameProxy()
	n.mergeWeb()
}

func (n *node) find(name string) *Check {
	i := slices.IndexFunc(n.checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		return &Check{}
	}
	return &n.checks[i]
}

// blameProxy is for an upgrade that fails where a WebSocket at the same URL comes
// through to the relay: the URL is right and the relay runs, so something between
// them does not know the upgrade.
func (n *node) blameProxy() {
	upgrade, webSocket := n.find("upgrade"), n.find("websocket")
	if upgrade.Status != Fail || webSocket.Status != OK || upgrade.derp {
		return
	}
	who := "a proxy before the relay"
	if n.server != "" {
		who += fmt.Sprintf(" (server: %.60s)", n.server)
	}
	took, found := upgrade.Took, upgrade.Detail
	*upgrade = fail("%s refuses Upgrade: DERP, while WebSocket passes: %s", who, firstClause(found)).
		do("%s; until then only clients that fall back to WebSocket connect",
			n.haveFront(proxyhint.Upgrade, "pass upgrades of type derp on, as it does websocket"))
	upgrade.Name, upgrade.Took = "upgrade", took
}

// firstClause is what was found, without what was made of it.
func firstClause(text string) string {
	what, _, _ := strings.Cut(text, ": ")
	return what
}

// mergeWeb leaves one finding where requests failed with the same.
func (n *node) mergeWeb() {
	probe, upgrade, webSocket := n.find(web[0]), n.find(web[1]), n.find(web[2])
	if probe.Status == Warn && upgrade.Status == Fail && upgrade.same == sameStatus(http.StatusOK) {
		sameAs(upgrade, probe) // a page answers there, too
	}
	switch {
	case upgrade.Status != Fail || webSocket.Status != Fail || upgrade.same == "" || upgrade.same != webSocket.same:
		return
	case probe.Status == Fail && probe.same == upgrade.same && upgrade.same == saidNothing:
		n.allSilent(probe)
		sameAs(probe, upgrade, webSocket)
	case probe.Status == Fail && probe.same == upgrade.same:
		sameAs(upgrade, probe, webSocket) // whose remedy is about more than a path
	default:
		sameAs(upgrade, webSocket)
	}
}

func (n *node) allSilent(c *Check) {
	c.Detail = "what listens there takes connections, but answers no request: neither probe, nor upgrade, nor WebSocket"
	if n.useTLS {
		c.Detail = "what listens there shakes hands, but answers no request: neither probe, nor upgrade, nor WebSocket"
	}
	c.Remedy = line("see whether what listens on port %s is a relay, or reaches one, and is not overloaded", n.port)
}

// sameAs leaves out what another check has found.
func sameAs(first *Check, others ...*Check) {
	for _, c := range others {
		c.Status, c.Detail, c.Remedy = Skip, "the same as "+first.Name, ""
	}
}
