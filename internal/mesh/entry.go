package mesh

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/pin"
)

// An Entry is one sibling as it was configured.
type Entry struct {
	Name     string // the entry as written, without the pin; for logs and snapshots
	Host     string // name or address that its certificate is for; lower case, no brackets
	Port     uint16
	DialHost string  // name or address to dial instead of Host; empty: Host
	Pin      pin.Pin // of its certificate; zero: verified by roots
	Plain    bool    // HTTP without TLS
}

const (
	portTLS   = 443
	portPlain = 80

	wantEntry = "write host, host:port or host:port/dialhost, or http://host:port for a sibling without TLS"
)

// ParseEntries parses a list of siblings, separated by commas. An entry is
//
//	host[:port][/dialhost][=sha256-raw:<64 hex digits>]
//
// where host is what the sibling's certificate is for, dialhost replaces it as
// what is dialled (its port is still that of host), and a pin, as in a DERP map,
// names the one certificate to accept. IPv6 addresses stand in brackets.
// http://host[:port] is a sibling without TLS. A list without entries is empty.
func ParseEntries(list string) ([]Entry, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var entries []Entry
	for i, text := range strings.Split(list, ",") {
		text = strings.TrimSpace(text)
		if at := strings.LastIndexByte(text, '@'); at >= 0 { // never repeat what may be a password
			return nil, fmt.Errorf("entry %d, %q: what stands before the @ means nothing to a sibling: remove it, and the @", i+1, "..."+text[at:])
		}
		e, err := parseEntry(text)
		if err != nil {
			return nil, fmt.Errorf("entry %d, %q: %w", i+1, text, err)
		}
		entries = append(entries, e)
	}
	return entries, checkDuplicates(entries)
}

// checkDuplicates refuses two entries that dial the same.
func checkDuplicates(entries []Entry) error {
	type dialled struct {
		host, dialHost string
		port           uint16
	}
	seen := make(map[dialled]int)
	for i, e := range entries {
		d := dialled{e.Host, strings.ToLower(e.dialHost()), e.Port}
		if first, known := seen[d]; known {
			return fmt.Errorf("entry %d, %q: it is the same sibling as entry %d, %q: remove one of them",
				i+1, e.Name, first+1, entries[first].Name)
		}
		seen[d] = i
	}
	return nil
}

func parseEntry(text string) (e Entry, err error) {
	if text == "" {
		return e, fmt.Errorf("it is empty: remove the comma, or %s", wantEntry)
	}
	name, pinText, pinned := strings.Cut(text, "=")
	e.Name = name
	rest, plain, err := cutScheme(name)
	e.Plain = plain
	if err != nil {
		return e, err
	}
	if pinned {
		if e.Plain {
			return e, errors.New("a sibling without TLS has no certificate to pin: remove = and the pin, or remove http://")
		}
		if e.Pin, err = pin.Parse(pinText); err != nil {
			return e, err
		}
	}
	rest, dialHost, dials := strings.Cut(rest, "/")
	if dials {
		if e.DialHost, err = parseDialHost(dialHost); err != nil {
			return e, err
		}
	}
	e.Host, e.Port, err = parseHostPort(rest, e.Plain)
	return e, err
}

// cutScheme takes the scheme off the front of an entry, which means something
// only if it is http. A URL has no dialhost, as that looks like a path.
func cutScheme(text string) (rest string, plain bool, err error) {
	name, rest, found := strings.Cut(text, "://")
	if !found {
		return text, false, nil
	}
	switch strings.ToLower(name) {
	case "http":
		plain = true
	case "https":
	default:
		return "", false, fmt.Errorf("scheme %q: remove it for a sibling with TLS, or write http:// for one without", name)
	}
	if strings.Contains(rest, "/") {
		return "", false, errors.New("a URL cannot have a path: write what stands before it, or host:port/dialhost without a scheme")
	}
	return rest, plain, nil
}

func parseDialHost(text string) (host string, err error) {
	if strings.Contains(text, "/") {
		return "", fmt.Errorf("there is more than one slash: %s", wantEntry)
	}
	host = text
	if inner, ok := strings.CutPrefix(text, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if validHost(host) && (host == text || strings.Contains(host, ":") && text == "["+host+"]") {
		return host, nil
	}
	if _, _, err := net.SplitHostPort(text); err == nil {
		return "", fmt.Errorf("dialhost %q has a port: write it behind the host, host:port/dialhost", text)
	}
	return "", fmt.Errorf("dialhost %q: want a host name or an IP address behind the slash, or no slash", text)
}

// parseHostPort parses host and optional port, whose default depends on TLS.
func parseHostPort(text string, plain bool) (host string, port uint16, err error) {
	port = portTLS
	if plain {
		port = portPlain
	}
	if bare, err := netip.ParseAddr(text); err == nil && bare.Is6() {
		return "", 0, fmt.Errorf("IPv6 address %q: put it in brackets, [%v]", text, bare.WithZone(""))
	}
	host = text
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host = text[:i]
		n, err := strconv.ParseUint(text[i+1:], 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("port %q: want a number from 1 to 65535 behind the colon", text[i+1:])
		}
		port = uint16(n)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !ok || err != nil || !addr.Is6() || !validHost(inner) {
			return "", 0, fmt.Errorf("host %q: want an IPv6 address without zone in the brackets", host)
		}
		return addr.String(), port, nil
	}
	if strings.Contains(host, ":") || !validHost(host) {
		return "", 0, fmt.Errorf("host %q: want a host name or an IP address: %s", host, wantEntry)
	}
	return strings.ToLower(host), port, nil
}

// validHost reports whether host names one, in the DNS or as an address. Names with
// underscores are good enough for siblings: what containers are called has them, and
// so does what has SRV records.
func validHost(host string) bool {
	_, err := hostname.Parse(host)
	wrong, ok := errors.AsType[*hostname.Error](err)
	return err == nil || ok && wrong.Kind == hostname.Underscore
}

// dialHost returns the host to dial.
func (e Entry) dialHost() string {
	if e.DialHost != "" {
		return e.DialHost
	}
	return e.Host
}

// url returns what the sibling is called in requests and certificates. A name in
// the DNS may end with a dot, there it does not.
func (e Entry) url() string {
	scheme := "https://"
	if e.Plain {
		scheme = "http://"
	}
	return scheme + net.JoinHostPort(strings.TrimSuffix(e.Host, "."), strconv.Itoa(int(e.Port)))
}

// A target is what a keeper dials.
type target struct {
	Entry
	addr netip.Addr // if it is known; otherwise the host to dial is looked up
}
