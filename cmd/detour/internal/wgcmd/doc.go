// Package wgcmd is "detour wg": it stands between a WireGuard that is there already and the
// relays (internal/wgproxy). Who the peers are stands in WireGuard's own settings; where
// they are is told by a coordinator, of whose tailnet the interface becomes a member by its
// own key, or by --home.
package wgcmd
