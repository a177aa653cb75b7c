package tailnet

import (
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/coordapi"
)

// What a coordinator may say of a member. The rest is left out: it may be wrong, or lie,
// and what it says is printed, dialled and kept.
const (
	mostAddresses = 8
	mostCursor    = 1 << 10
	mostToken     = 4 << 10
	mostMessage   = 200
)

// cleanPeer is a peer as far as it can be believed. A name that is none is left out: the
// key is what counts.
func cleanPeer(p coordapi.Peer) Peer {
	return Peer{
		Key: p.Key, Name: cleanName(p.Name), Addresses: cleanAddresses(p.Addresses),
		Home: cleanHome(p.Home), Disco: p.Disco,
	}
}

func cleanHome(region int) int {
	if region < 0 || int64(region) > derpmap.MaxRegionID {
		return 0
	}
	return region
}

// cleanName is a label of DNS, or nothing.
func cleanName(name string) string {
	if len(name) > coordapi.MostName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return name
}

// cleanAddresses are those that a host can have.
func cleanAddresses(all []netip.Addr) (good []netip.Addr) {
	for _, a := range all {
		if a = a.Unmap(); !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() {
			continue
		}
		if len(good) < mostAddresses && !slices.Contains(good, a) {
			good = append(good, a)
		}
	}
	return good
}

func cleanCursor(c string) string { return cleanWord(c, mostCursor) }

// cleanToken is what can stand in a header: with another one no question could be asked,
// and none would be answered with the 401 that ends a token.
func cleanToken(t string) string { return cleanWord(t, mostToken) }

// cleanWord is a text that says nothing to us, as it is or not at all.
func cleanWord(text string, most int) string {
	if len(text) > most || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return text
}

// cleanText is a line that a terminal can show.
func cleanText(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > mostMessage {
		s = string(runes[:mostMessage]) + ".."
	}
	return strings.Join(strings.Fields(s), " ")
}

// wantedName makes of a host's name what can be a member's.
func wantedName(host string) string {
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, host), "-")
	if name == "" {
		return "member"
	}
	return strings.TrimRight(name[:min(len(name), coordapi.MostName)], "-")
}
