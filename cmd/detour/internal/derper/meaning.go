package derper

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/config"
)

// names are what derper calls our settings. The others are variables to who uses its
// command line.
var names = map[string]string{
	"dev": "dev", "listen": "a", "stun": "stun-port", "hostname": "hostname", "derp": "derp", "home": "home",
	"tls.mode": "certmode", "tls.cert": "certdir", "tls.key": "certdir", "relay-key": "c",
	"access.verify": "verify-client-url", "access.fail-open": "verify-client-url-fail-open", "access.tailscaled": "verify-clients", "access.deny-apps": "disallow-app-names",
	"limits.in": "rate-config", "limits.burst": "rate-config",
	"accept.limit": "accept-connection-limit", "accept.burst": "accept-connection-burst",
	"tcp.keepalive": "tcp-keepalive-time", "tcp.user-timeout": "tcp-user-timeout", "tcp.write-timeout": "tcp-write-timeout",
	"mesh.with": "mesh-with", "mesh.key-file": "mesh-psk-file",
	"http": "http-port", "acme.contact": "acme-email", "acme.eab-key-id": "acme-eab-kid", "acme.storage": "certdir",
	"bootstrap.names": "bootstrap-dns-names", "bootstrap.unpublished": "unpublished-bootstrap-dns-names",
}

// A meaning is what a line means to a relay, as far as it has been gone through.
type meaning struct {
	*line
	settings []config.Given
	remarks  map[string]string // on settings, for who reads them in a file
}

// means goes through a line. It looks at the files that derper looks at.
func (l *line) means() (*meaning, *config.Problem) {
	m := &meaning{line: l, remarks: make(map[string]string)}
	if l.dev {
		l.addr = devListen
		m.give("dev", "true")
	}
	for _, part := range []func() *config.Problem{m.listener, m.certificate, m.port80, m.keys, m.access, m.limits, m.region, m.rest} {
		if problem := part(); problem != nil {
			return nil, problem
		}
	}
	return m, nil
}

// give has a setting.
func (m *meaning) give(path, text string) {
	if text != "" {
		m.settings = append(m.settings, config.Given{Path: path, Text: text})
	}
}

// otherwise has a setting that derper has no flag for, unless the environment has it.
func (m *meaning) otherwise(path, text string) {
	if s, _ := config.Lookup(path); os.Getenv(s.Variable()) == "" {
		m.give(path, text)
	}
}

// no says why a flag cannot be, and what to do instead.
func no(flag, format string, args ...any) *config.Problem {
	return &config.Problem{Origin: config.Origin{Flag: flag}, Text: "--" + flag + " " + fmt.Sprintf(format, args...)}
}

// whole is a path that means the same in each directory.
func whole(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// listener is where the relay listens. STUN is at the same host.
func (m *meaning) listener() *config.Problem {
	host, _, err := net.SplitHostPort(m.addr)
	if err != nil {
		return no("a", "%q: want host:port, such as :443 or 203.0.113.7:443", m.addr)
	}
	m.give("listen", m.addr)
	if m.stun {
		m.give("stun", net.JoinHostPort(host, strconv.Itoa(m.stunPort)))
	} else {
		m.give("stun", config.STUNOff)
	}
	if !m.derp {
		m.give("derp", "false")
	}
	return nil
}

// secure reports whether derper speaks TLS.
func (l *line) secure() bool {
	_, port, _ := net.SplitHostPort(l.addr)
	return port == "443" || port == "https" || l.certMode == "manual"
}

// certificate is how connections are secured.
func (m *meaning) certificate() *config.Problem {
	if !m.secure() {
		m.give("tls.mode", config.TLSOff)
		if m.given["hostname"] {
			m.give("hostname", m.hostname)
		}
		return nil
	}
	switch {
	case m.dev:
		return no("certmode", "manual is not for --dev, which has no certificate: leave one of them out")
	case m.certDir == "":
		return no("certdir", "is empty: name the directory of the certificate")
	case m.acmeIPCerts && m.certMode != "letsencrypt":
		return no("acme-ip-certs", "is for --certmode letsencrypt: leave one of them out")
	case !m.given["hostname"]:
		return no("hostname", "is missing, and derper's default, %s, is Tailscale's: give the name or address by which peers reach the relay", defaultHostname)
	}
	m.give("hostname", m.hostname)
	switch m.certMode {
	case "manual":
		m.manual()
		return nil
	case "letsencrypt", "gcp":
		return m.acme()
	}
	return no("certmode", "%q: choose manual, letsencrypt or gcp", m.certMode)
}

// manual is a certificate that somebody puts into the directory. For an address derper
// makes one where there is none.
func (m *meaning) manual() {
	base := filepath.Join(whole(m.certDir), fileName(m.hostname))
	if net.ParseIP(m.hostname) != nil && !exists(base+".crt") && !exists(base+".key") {
		m.give("tls.mode", config.TLSSelf)
		m.remarks["tls.mode"] = fmt.Sprintf("derper would make %s.crt and .key; this one is kept in the state directory, and the next one is made ahead of time.", base)
		return
	}
	m.give("tls.mode", config.TLSFiles)
	m.give("tls.cert", base+".crt")
	m.give("tls.key", base+".key")
}

// fileName is what derper leaves of a host name in the names of files.
func fileName(host string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '.':
			return r
		}
		return -1
	}, host)
}

// acme is a certificate that the relay gets for itself.
func (m *meaning) acme() *config.Problem {
	address, byAddress := net.ParseIP(m.hostname) != nil, m.acmeIPCerts
	switch gcp := m.certMode == "gcp"; {
	case gcp && address:
		return no("certmode", "gcp is for names: give one with --hostname")
	case address && !byAddress:
		return no("hostname", "%s is an address: add --acme-ip-certs, or give --certmode manual", m.hostname)
	case byAddress && !address && os.Getenv("DETOUR_PUBLIC_IP") == "":
		return no("acme-ip-certs", "does not ask sockets for the relay's addresses, which may be others outside: say them in $DETOUR_PUBLIC_IP, with commas between")
	case gcp && (m.acmeEABKeyID == "" || m.acmeEmail == ""):
		return no("certmode", "gcp needs --acme-eab-kid and --acme-email")
	case gcp && m.acmeEABKey != "":
		return no("acme-eab-key", "would be seen by every user of this machine: put it into a file, name that in $DETOUR_ACME_EAB_KEY, and leave the flag out")
	case gcp && os.Getenv("DETOUR_ACME_EAB_KEY") == "":
		return no("certmode", "gcp needs the key of --acme-eab-kid: name its file in $DETOUR_ACME_EAB_KEY")
	case gcp:
		m.give("acme.directory", googleDirectory)
		m.give("acme.eab-key-id", m.acmeEABKeyID)
	}
	m.give("tls.mode", config.TLSACME)
	m.give("acme.contact", m.acmeEmail)
	if m.given["certdir"] { // what is kept there is kept for certificates
		m.otherwise("acme.storage", filepath.Join(whole(m.certDir), "detour-acme"))
	}
	return nil
}

const googleDirectory = "https://dv.acme-v02.api.pki.goog/directory"

// port80 is plain HTTP beside TLS, at the same host.
func (m *meaning) port80() *config.Problem {
	if m.httpPort >= 0 && m.secure() {
		host, _, _ := net.SplitHostPort(m.addr)
		m.give("http", net.JoinHostPort(host, strconv.Itoa(m.httpPort)))
	}
	return nil
}

// keys are the relay's key, and where it keeps what derper does not have.
func (m *meaning) keys() *config.Problem {
	if m.dev {
		return nil
	}
	path := m.key
	if path == "" && os.Getuid() != 0 {
		return no("c", "is missing: name the file with the relay's key, which is made if it is not there")
	}
	path = whole(cmp.Or(path, rootKey))
	m.give("relay-key", path)
	if path != rootKey && os.Getenv("STATE_DIRECTORY") == "" { // several on one machine have keys of their own
		m.otherwise("state-dir", filepath.Join(filepath.Dir(path), "detour"))
	}
	return nil
}

// access is who may come in: everybody, if derper is told nothing.
func (m *meaning) access() *config.Problem {
	switch {
	case !m.derp:
		return nil
	case m.verifyClients && m.verifyURL != "":
		return no("verify-clients", "and --verify-client-url let in whom both let in, and here one yes is enough: leave one of them out")
	case m.verifyURL != "":
		m.give("access.verify", strings.ReplaceAll(m.verifyURL, ",", "%2C"))
		if m.failOpen {
			m.give("access.fail-open", "true")
			m.remarks["access.fail-open"] = "derper's default. Without it, who was let in before comes in while the URL cannot be reached, and nobody new."
		}
	case m.verifyClients:
		m.give("access.tailscaled", cmp.Or(m.socket, config.TailscaledAuto))
	case !slices.ContainsFunc(os.Environ(), saysWhoMayComeIn):
		m.give("access.everyone", "true")
		m.remarks["access.everyone"] = "derper lets everybody in unless it is told otherwise. docs/access.md has the choices."
	}
	m.give("access.deny-apps", m.denyApps)
	return nil
}

// saysWhoMayComeIn reports whether a variable is such a setting.
func saysWhoMayComeIn(variable string) bool {
	name, value, _ := strings.Cut(variable, "=")
	return value != "" && slices.Contains([]string{
		"DETOUR_ACCESS_KEYS", "DETOUR_ACCESS_MANAGED", "DETOUR_ACCESS_VERIFY", "DETOUR_ACCESS_COORDINATOR", "DETOUR_ACCESS_TAILSCALED",
	}, name)
}

// limits are what peers may use, and how fast they may come. Without TLS derper has no
// limit of the latter.
func (m *meaning) limits() *config.Problem {
	if m.rateConfig != "" {
		r, err := readRate(m.rateConfig)
		if err != nil {
			return no("rate-config", "%v", err)
		}
		r.give(m)
	}
	switch limit := m.acceptLimit; {
	case !m.secure() || math.IsInf(limit, 1):
		return nil
	case !(limit > 0):
		return no("accept-connection-limit", "%v: want more than 0, or leave it out for no limit", limit)
	case !m.given["accept-connection-burst"]:
		return no("accept-connection-limit", "limits nothing in derper without --accept-connection-burst, so many may come at once: give that, too, such as %d", int(math.Ceil(2*min(limit, 1e6))))
	case m.acceptBurst < 1:
		return no("accept-connection-burst", "%d: want 1 or more", m.acceptBurst)
	}
	m.give("accept.limit", strconv.FormatFloat(m.acceptLimit, 'f', -1, 64))
	m.give("accept.burst", strconv.Itoa(m.acceptBurst))
	return nil
}

// region is the other relays. The key of a relay for development is in the environment.
func (m *meaning) region() *config.Problem {
	if m.secretsURL != "" && !m.dev {
		return no("secrets-url", "is not here: put the mesh key into a file that only the relay can read, and name it with --mesh-psk-file")
	}
	if m.meshKeyFile != "" && !m.dev {
		m.give("mesh.key-file", whole(m.meshKeyFile))
	}
	m.give("mesh.with", m.meshWith)
	return nil
}

// rest is what is called the same here and there.
func (m *meaning) rest() *config.Problem {
	if m.ace {
		return no("ace", "has the relay be a proxy to Tailscale's own servers, which is not here: leave it out")
	}
	m.give("home", m.home)
	m.give("bootstrap.names", m.bootstrap)
	m.give("bootstrap.unpublished", m.unpublished)
	if m.given["tcp-keepalive-time"] {
		m.give("tcp.keepalive", keepAlive(m.tcpKeepAlive).String())
	}
	if m.given["tcp-user-timeout"] {
		m.give("tcp.user-timeout", m.tcpUserTimeout.String())
	}
	if m.given["tcp-write-timeout"] {
		m.give("tcp.write-timeout", m.tcpTimeout.String())
	}
	m.otherwise("self-check", config.CheckDirect) // nobody has said whether the name leads here
	return nil
}

// keepAlive is what Go's network package makes of such a time.
func keepAlive(d time.Duration) time.Duration {
	switch {
	case d < 0:
		return 0
	case d == 0:
		return 15 * time.Second
	}
	return d
}
