package main

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/mapfeed"
)

// looksLikeMap tells a DERP map from a relay by how it is named.
func looksLikeMap(target string) bool {
	if mapfeed.IsURL(target) {
		u, err := url.Parse(target)
		return err == nil && (mapfeed.FormOfName(path.Base(u.Path)) != "" || slices.Contains(strings.Split(u.Path, "/"), "derpmap"))
	}
	if target == mapfeed.Stdin || mapfeed.FormOfName(target) != "" {
		return true
	}
	info, err := os.Stat(target)
	return err == nil && !info.IsDir()
}

// relayURL is the URL of a relay that may be given as a host, or as host:port.
func relayURL(target string) (string, error) {
	if mapfeed.IsURL(target) {
		return target, nil
	}
	if strings.ContainsAny(target, `/\`) {
		return "", cli.Usagef("%q is no file: write a URL with https:// or http://, a host, host:port, or the file of a DERP map", target)
	}
	host := target
	if addr, err := netip.ParseAddr(target); err == nil && addr.Is6() {
		host = "[" + target + "]"
	}
	if name, port, err := net.SplitHostPort(host); err == nil && (name == "" || port == "") {
		return "", cli.Usagef("%q is neither a relay nor a DERP map: write a URL, a host, host:port, or the name of a file", target)
	}
	return "https://" + host + "/derp", nil
}
