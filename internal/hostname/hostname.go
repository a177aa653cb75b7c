// Package hostname is the one judge of what may stand where a host is named: in a
// map, in a relay's settings, in a list of siblings, in a URL. It says which mistake
// a text is, since people make the same few ones everywhere.
package hostname

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"github.com/detour-relay/detour/internal/text"
)

// Kind is what is wrong with a name.
type Kind string

const (
	Empty      Kind = "empty"
	Scheme     Kind = "scheme"     // it is a URL
	Path       Kind = "path"       // it goes on with a path
	User       Kind = "user"       // it begins with a user
	Port       Kind = "port"       // it ends in a port
	Brackets   Kind = "brackets"   // an IPv6 address as a URL has it
	List       Kind = "list"       // several names
	Space      Kind = "space"      // white space around it
	Stray      Kind = "stray"      // a character that an editor put there
	Wildcard   Kind = "wildcard"   // a certificate's name, not a host's
	NotASCII   Kind = "not ASCII"  // DNS and certificates have another spelling of it
	Underscore Kind = "underscore" // no authority certifies it
	NotAddress Kind = "no address" // digits and dots that are no IPv4 address
	Zone       Kind = "zone"       // an address that means something on one host only
	Nowhere    Kind = "nowhere"    // an address that nobody can connect to
	Invalid    Kind = "invalid"
)

// Error says why a text names no host. Name is that text, without a password. Host is
// what was probably meant; it may be empty.
type Error struct {
	Name         string
	Kind         Kind
	Host         string
	What, Remedy string
}

func (e *Error) Error() string { return fmt.Sprintf("%q %s: %s", e.Name, e.What, e.Remedy) }

// maxText bounds what is looked at. A URL that stands in a name's place may be long.
const maxText = 1000

// Parse returns the host as DNS and certificates have it: a name in lower case
// without a dot at its end, or an IP address. Its error is an [*Error].
func Parse(s string) (string, error) {
	if e := written(s); e != nil {
		e.Name = text.RedactURL(s) // people paste URLs
		return "", e
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return parseAddress(s, addr)
	}
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if e := decorated(s); e != nil {
		e.Name = text.RedactURL(s) // people paste URLs
		return "", e
	}
	if e := dns(name); e != nil {
		e.Name = text.RedactURL(s) // people paste URLs
		return "", e
	}
	return name, nil
}

func parseAddress(s string, addr netip.Addr) (string, error) {
	switch {
	case addr.Zone() != "":
		return "", &Error{s, Zone, "", "has a zone, which means something on one host only", "write an address that all peers reach"}
	case addr.IsUnspecified() || addr.IsMulticast():
		return "", &Error{s, Nowhere, "", "is an address that nobody can connect to", "write the address of the relay"}
	}
	return addr.Unmap().String(), nil
}

// written looks for what does not belong into any name.
func written(s string) *Error {
	trimmed := strings.Trim(s, " \t\r\n")
	stray, isStray := text.FirstStray([]byte(s))
	switch {
	case len(s) > maxText:
		return &Error{Kind: Invalid, What: "is longer than the 253 characters of a DNS name", Remedy: "write a shorter one"}
	case trimmed == "":
		return &Error{Kind: Empty, What: "is empty", Remedy: "write a DNS name or an IP address"}
	case trimmed != s:
		return mistake(Space, meant(s, trimmed), "has white space around it")
	case strings.Contains(s, "://"):
		return mistake(Scheme, within(s), "is a URL")
	case strings.ContainsAny(s, ",; \t\n"):
		return &Error{Kind: List, What: "is more than one name", Remedy: "write one of them"}
	case isStray:
		return &Error{
			Kind: Stray, Host: plain(s), What: "has " + stray.String() + " in it",
			Remedy: stray.Remedy(),
		}
	}
	return nil
}

// decorated looks for what stands around the name.
func decorated(s string) *Error {
	inner := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	_, bareErr := netip.ParseAddr(inner)
	_, portErr := netip.ParseAddrPort(s)
	switch {
	case strings.ContainsAny(s, `/?#\`):
		return mistake(Path, within(s), "has a path")
	case strings.Contains(s, "@"):
		return mistake(User, within(s), "has a user in it")
	case bareErr == nil:
		return mistake(Brackets, meant(s, inner), "is an IPv6 address in brackets")
	case portErr == nil || strings.Contains(s, ":"):
		return mistake(Port, within(s), "has a port")
	case strings.HasPrefix(s, "*."):
		return &Error{Kind: Wildcard, What: "is a wildcard, which only certificates have", Remedy: "write the name of the one relay"}
	}
	return nil
}

func mistake(kind Kind, host, what string) *Error {
	remedy := "write " + host
	if host == "" {
		remedy = "write a DNS name or an IP address"
	}
	return &Error{Kind: kind, Host: host, What: what, Remedy: remedy}
}

// dns judges a name in lower case.
func dns(name string) *Error {
	ascii := strings.IndexFunc(name, func(r rune) bool { return r >= 0x80 }) < 0
	switch {
	case !ascii:
		return notASCII(name)
	case name == "none":
		return &Error{
			Kind: Invalid, What: "is how a map says that there is no address, and no name",
			Remedy: "write the name of the relay, or leave it out where the map has an address",
		}
	case strings.Trim(name, "0123456789.") == "":
		return &Error{Kind: NotAddress, What: "is no IPv4 address", Remedy: "write four numbers from 0 to 255, without leading zeros, or a DNS name"}
	case len(name) > 253:
		return &Error{Kind: Invalid, What: "is longer than the 253 characters of a DNS name", Remedy: "write a shorter one"}
	}
	underscore := false
	for label := range strings.SplitSeq(name, ".") {
		if e := dnsLabel(label); e != nil {
			return e
		}
		underscore = underscore || strings.Contains(label, "_")
	}
	switch {
	case strings.Trim(name[strings.LastIndexByte(name, '.')+1:], "0123456789") == "":
		return &Error{Kind: NotAddress, What: "ends in a number, as only an IPv4 address does", Remedy: "write a DNS name or an IP address"}
	case underscore:
		return underscored(name)
	}
	return nil
}

func dnsLabel(label string) *Error {
	const allowed = "abcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexFunc(label, func(r rune) bool { return !strings.ContainsRune(allowed, r) })
	switch {
	case label == "":
		return &Error{Kind: Invalid, What: "has a dot too many", Remedy: "write one dot between two parts of the name, and none before it"}
	case i >= 0:
		return &Error{
			Kind: Invalid, What: fmt.Sprintf("has a %q, which no DNS name has", label[i:i+1]),
			Remedy: "write a DNS name or an IP address",
		}
	case len(label) > 63:
		return &Error{Kind: Invalid, What: "has a part longer than the 63 characters of DNS", Remedy: "write a shorter one"}
	case label[0] == '-' || label[len(label)-1] == '-':
		return &Error{Kind: Invalid, What: "has a hyphen at the edge of a part", Remedy: "write hyphens within a part only"}
	}
	return nil
}

func underscored(name string) *Error {
	e := &Error{
		Kind: Underscore, What: "has an underscore, and no authority certifies such a name",
		Remedy: "give the host a name with hyphens instead",
	}
	if host := strings.ReplaceAll(name, "_", "-"); dns(host) == nil {
		e.Host = host
		e.Remedy = "give the host a name with hyphens, such as " + host
	}
	return e
}

func notASCII(name string) *Error {
	e := &Error{Kind: NotASCII, What: "is not ASCII", Remedy: "write it as DNS has it, in ASCII"}
	if ascii, err := idna.Lookup.ToASCII(name); err == nil && dns(ascii) == nil {
		e.Host, e.What, e.Remedy = ascii, "is not how DNS and certificates spell the name", "write "+ascii
	}
	return e
}

// plain is s without its strays.
func plain(s string) string {
	out := s
	for stray := range text.Strays([]byte(s)) {
		out = strings.ReplaceAll(out, string(stray.Char), stray.Meant)
	}
	return meant(s, strings.TrimSpace(out))
}

// within returns the host in what looks like a URL or host:port, or nothing.
func within(s string) string {
	whole := s
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	if i := strings.IndexAny(s, `/?#\`); i >= 0 {
		s = s[:i]
	}
	s = s[strings.LastIndexByte(s, '@')+1:]
	if port, err := netip.ParseAddrPort(s); err == nil {
		s = port.Addr().String()
	} else if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.Count(s, ":") == 1 {
		s = s[:i]
	}
	return meant(whole, strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
}

// meant returns the host that a part of a text names, or nothing.
func meant(whole, part string) string {
	if part == whole {
		return "" // it is being judged
	}
	host, err := Parse(part)
	if err != nil {
		return ""
	}
	return host
}
