package derpmap

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/pin"
)

func (l *linter) node(path string, id int, n *Node) {
	if l.bad[path] {
		return
	}
	first, taken := l.names[n.Name]
	switch {
	case n.Name == "":
		l.error(path+".Name", "node-name-missing", fmt.Sprintf("add one, such as %da", id), "the node has no name")
	case taken:
		l.error(path+".Name", "node-name-duplicate", "give each node of the map a name of its own", "%s has the name %q too", first, n.Name)
	default:
		l.names[n.Name] = path
	}
	switch {
	case n.RegionID == 0:
		l.error(path+".RegionID", "node-region-missing", fmt.Sprintf("add RegionID %d", id), "the node does not say in which region it is")
	case n.RegionID != id:
		l.error(path+".RegionID", "node-region-mismatch", fmt.Sprintf("write %d", id), "the node is in region %d, but says %d", id, n.RegionID)
	}
	l.hostName(path+".HostName", n)
	l.certName(path+".CertName", n)
	l.addresses4and6(path, n)
	l.ports(path, n)
	l.tests(path, n)
	l.once(path, n)
}

var looksAPin = regexp.MustCompile(`(?i)^sha-?256|^[0-9a-f:]{64,95}$`)

// isPin tells whether a certName is a pin as it should be.
func isPin(certName string) bool {
	_, err := pin.Parse(certName)
	return err == nil
}

func (l *linter) certName(path string, n *Node) {
	name := n.CertName
	switch {
	case name == "":
	case isPin(name) && n.InsecureForTests:
		l.warn(path, "pin-insecure", "take InsecureForTests out: a pin needs no authority", "InsecureForTests turns verification off")
	case isPin(name):
	case pin.Is(name) && isPin(strings.ToLower(name)):
		l.error(path, "pin-format", "write "+strings.ToLower(name), "clients compare the pin as text, in lower case")
	case looksAPin.MatchString(name):
		l.error(path, "pin-format", "write sha256-raw: and the SHA-256 of the certificate (DER) in 64 lower-case hex digits",
			"%q is no pin", name)
	case name == n.HostName:
		l.warn(path, "certname-redundant", "take it out", "the certificate is verified for HostName anyway")
	default:
		if _, err := hostname.Parse(name); err != nil {
			l.error(path, "certname-invalid", "write the DNS name that the certificate has, or a pin", "%q is neither a DNS name nor a pin", name)
		}
	}
}

// none is how a map says that a node has no address of a family. Clients take
// whatever is no address for it.
const none = "none"

func (l *linter) addresses4and6(path string, n *Node) {
	l.address(path+".IPv4", n.IPv4, "IPv4", netip.Addr.Is4)
	l.address(path+".IPv6", n.IPv6, "IPv6", netip.Addr.Is6)

	host, err := netip.ParseAddr(n.HostName)
	no4 := n.IPv4 == none || n.IPv4 == "" && err == nil && !host.Is4()
	no6 := n.IPv6 == none || n.IPv6 == "" && err == nil && !host.Is6()
	if no4 && no6 {
		l.error(path, "address-none", "give it an address of one of the two",
			"with IPv4 %q, IPv6 %q and HostName %q it has no address at all", n.IPv4, n.IPv6, n.HostName)
	}
}

func (l *linter) address(path, s, family string, fits func(netip.Addr) bool) {
	if s == "" || s == none {
		return
	}
	addr, err := netip.ParseAddr(s)
	other := map[string]string{"IPv4": "IPv6", "IPv6": "IPv4"}[family]
	switch {
	case err != nil && strings.EqualFold(strings.TrimSpace(s), none):
		l.error(path, "address-invalid", "write none", "%q is not how a map says that there is no %s", s, family)
	case err != nil:
		l.error(path, "address-invalid", l.addressRemedy(s, family),
			"%q is no address, so clients do not try %s at all", s, family)
	case addr.Is4In6():
		l.error(path, "address-family", "write "+addr.Unmap().String()+" in the field IPv4", "%s is an IPv4 address in disguise", s)
	case !fits(addr):
		l.error(path, "address-family", "write it in the field "+other, "%s is an %s address", s, other)
	case addr.Zone() != "":
		l.error(path, "address-invalid", "write a global address", "the zone of %s means something only on one host", s)
	case addr.IsUnspecified() || addr.IsMulticast():
		l.error(path, "address-special", "write the address of the relay", "nobody can connect to %s", s)
	case addr.IsLoopback() && l.cfg.Local:
	case addr.IsLoopback() || addr.IsLinkLocalUnicast():
		l.warn(path, "address-special", "write an address that peers reach", "%s reaches the relay only from nearby", s)
	}
}

// addressRemedy finds the address in what people write around it.
func (l *linter) addressRemedy(s, family string) string {
	bare, port := strings.Trim(strings.TrimSpace(s), "[]"), ""
	if prefix, err := netip.ParsePrefix(bare); err == nil {
		bare = prefix.Addr().String()
	}
	if both, err := netip.ParseAddrPort(strings.TrimSpace(s)); err == nil {
		bare, port = both.Addr().String(), ", and the port in "+l.spelled("DERPPort")+" or "+l.spelled("STUNPort")
	}
	if _, err := netip.ParseAddr(bare); err == nil {
		return "write " + bare + port
	}
	return "write an address, or none if the node has no " + family
}

func (l *linter) ports(path string, n *Node) {
	if n.DERPPort < 0 || n.DERPPort > 65535 {
		remedy := "write one from 1 to 65535, or leave it out for 443"
		if n.DERPPort == -1 {
			remedy = "only STUNPort can be -1; for a node that does not relay write STUNOnly"
		}
		l.error(path+".DERPPort", "port-range", remedy, "%d is no port", n.DERPPort)
	}
	if n.STUNPort < -1 || n.STUNPort > 65535 {
		l.error(path+".STUNPort", "port-range", "write one from 1 to 65535, leave it out for 3478, or -1 for no STUN", "%d is no port", n.STUNPort)
	}
	if n.CanPort80 && n.DERPPort == 80 {
		l.error(path+".DERPPort", "port-80", "take CanPort80 out, or relay on another port", "port 80 cannot have both TLS and plain HTTP")
	}
	if !n.STUNOnly {
		return
	}
	if n.STUNPort < 0 {
		l.error(path+".STUNPort", "stun-only-off", "give it a port, or take STUNOnly out", "a node that is STUNOnly needs STUN")
	}
	if n.DERPPort != 0 {
		l.warn(path+".DERPPort", "stun-only-unused", "take it out", "clients do not use it, since the node is STUNOnly")
	}
	if n.CertName != "" {
		l.warn(path+".CertName", "stun-only-unused", "take it out", "clients do not use it, since the node is STUNOnly")
	}
}

// tests looks for fields that are only for tests.
func (l *linter) tests(path string, n *Node) {
	if n.InsecureForTests {
		l.warn(path+".InsecureForTests", "insecure", "take it out; pin a certificate that nobody known has signed",
			"anybody on the way can pretend to be this node")
	}
	if n.STUNTestIP == "" {
		return
	}
	if _, err := netip.ParseAddr(n.STUNTestIP); err != nil {
		l.error(path+".STUNTestIP", "address-invalid", "write an address, or take it out", "%q is no address", n.STUNTestIP)
		return
	}
	l.warn(path+".STUNTestIP", "test-field", "take it out", "it is for tests: STUN goes to %s instead", n.STUNTestIP)
}

// once looks for a relay that is in the map twice: such a region seems to have more
// nodes than it has.
func (l *linter) once(path string, n *Node) {
	if n.STUNOnly || n.HostName == "" {
		return
	}
	id := relay{strings.ToLower(strings.TrimSuffix(n.HostName, ".")), n.IPv4, n.IPv6, n.DERP()}
	switch first, ok := l.relays[id]; {
	case !ok:
		l.relays[id] = once{path, n.CertName}
	case pin.Is(first.certName) && pin.Is(n.CertName) && first.certName != n.CertName:
		l.warn(path+".CertName", "pin-change", "have the pin first that the relay shows now, and take the other out once it has changed",
			"%s is the same relay with another pin; Tailscale's clients look at the first only", first.path)
		return
	default:
		l.error(path, "node-duplicate", "take one out", "%s is the same relay", first.path)
		return
	}
	for _, field := range []struct{ name, value string }{{".IPv4", n.IPv4}, {".IPv6", n.IPv6}, {".HostName", n.HostName}} {
		addr, err := netip.ParseAddr(field.value)
		if err != nil || field.name == ".HostName" && (n.IPv4 != "" || n.IPv6 != "") {
			continue
		}
		at := netip.AddrPortFrom(addr.Unmap(), uint16(n.DERP())).String()
		if first, ok := l.addresses[at]; ok {
			l.warn(path+field.name, "address-duplicate", "check it: two names for one relay are one point of failure",
				"%s goes to %s too", first, at)
			continue
		}
		l.addresses[at] = path
	}
}
