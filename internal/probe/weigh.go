package probe

import (
	"fmt"
	"slices"
	"strings"
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
		do("have it pass upgrades of type derp on, as it does websocket%s; until then only clients that fall back to WebSocket connect",
			proxySetting(n.server))
	upgrade.Name, upgrade.Took = "upgrade", took
}

// firstClause is what was found, without what was made of it.
func firstClause(text string) string {
	what, _, _ := strings.Cut(text, ":")
	return what
}

// proxySetting names the setting of proxies that tell who they are.
func proxySetting(server string) string {
	for name, setting := range map[string]string{
		"envoy": "envoy: upgrade_configs with upgrade_type derp",
		"nginx": "nginx: proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade and Connection \"upgrade\"",
	} {
		if strings.Contains(strings.ToLower(server), name) {
			return " (" + setting + ")"
		}
	}
	return ""
}

// mergeWeb leaves one finding where nothing is said to any request, or the same
// status to all.
func (n *node) mergeWeb() {
	var checks []*Check
	for _, name := range web {
		c := n.find(name)
		if c.Status != Fail {
			return
		}
		checks = append(checks, c)
	}
	all := func(same func(*Check) bool) bool {
		return !slices.ContainsFunc(checks, func(c *Check) bool { return !same(c) })
	}
	first := checks[0]
	switch {
	case all(func(c *Check) bool { return c.silent }):
		first.Detail = "what listens there takes connections, but answers no request: neither probe, nor upgrade, nor WebSocket"
		if n.useTLS {
			first.Detail = "what listens there shakes hands, but answers no request: neither probe, nor upgrade, nor WebSocket"
		}
		first.Remedy = line("see whether what listens on port %s is a relay, or reaches one, and is not overloaded", n.port)
	case first.status != 0 && all(func(c *Check) bool { return c.status == first.status }):
		first = checks[1] // whose remedy is about more than a path
	default:
		return
	}
	for _, c := range checks {
		if c != first {
			c.Status, c.Detail, c.Remedy = Skip, "the same as "+first.Name, ""
		}
	}
}
