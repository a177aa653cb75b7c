package derper

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/text"
)

// A line is a command line of derper 1.104, taken apart as derper does.
type line struct {
	dev, version, derp, stun, ace, printConfig bool

	addr, key, hostname, home string
	httpPort, stunPort        int

	certMode, certDir                        string
	acmeEmail, acmeEABKeyID, acmeEABKey      string
	acmeIPCerts                              bool
	meshKeyFile, meshWith                    string
	secretsURL, secretsPrefix, secretsCache  string
	bootstrap, unpublished                   string
	verifyClients, failOpen                  bool
	socket, verifyURL, denyApps              string
	acceptLimit                              float64
	acceptBurst                              int
	rateConfig                               string
	tcpKeepAlive, tcpUserTimeout, tcpTimeout time.Duration

	given map[string]bool // which flags the line has
}

// parse reads a command line. Its error is flag.ErrHelp, or wrong usage.
func parse(args []string) (*line, error) {
	l := &line{given: make(map[string]bool)}
	flags := l.flags()
	if err := flags.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil, err
		}
		return nil, cli.Usagef("%s", explain(flags, err.Error()))
	}
	flags.Visit(func(f *flag.Flag) { l.given[f.Name] = true })
	if flags.NArg() > 0 {
		return nil, cli.Usagef("%q belongs to no flag, and derper leaves out all that comes behind it: take it out, or write -flag=%[1]s if it is the value of a switch", flags.Arg(0))
	}
	return l, nil
}

// notDefined is how package flag begins its words about an unknown flag.
const notDefined = "flag provided but not defined: -"

// explain says of what the parser does not take what to write instead.
func explain(flags *flag.FlagSet, said string) string {
	name, ok := strings.CutPrefix(said, notDefined)
	if !ok {
		return said
	}
	for _, s := range config.Table() {
		if s.Flag == name {
			return fmt.Sprintf("--%s is a flag of \"detour relay\", not of derper: give it as $%s, or start \"detour relay\"", name, s.Variable())
		}
	}
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := text.Nearest(name, names); near != "" {
		return fmt.Sprintf("derper has no flag --%s: did you mean --%s?", name, near)
	}
	return fmt.Sprintf("derper 1.104 has no flag --%s: leave it out", name)
}

// flags are derper's, with its defaults. Each says what it is here.
func (l *line) flags() *flag.FlagSet {
	f := flag.NewFlagSet("derper", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	f.BoolVar(&l.printConfig, "print-config", false, "print the file of settings for \"detour relay --config\" that does the same, and exit; derper has no such flag")

	f.StringVar(&l.addr, "a", ":443", "`address` to listen on; TLS if the port is 443, or by -certmode manual")
	f.StringVar(&l.hostname, "hostname", defaultHostname, "`name` or IP address by which peers reach the relay; required with TLS")
	f.StringVar(&l.certMode, "certmode", "letsencrypt", "`mode`: manual, letsencrypt or gcp")
	f.StringVar(&l.certDir, "certdir", defaultCertDir(), "`directory` with HOST.crt and HOST.key, for -certmode manual")
	f.StringVar(&l.acmeEmail, "acme-email", "", "`address` of whoever the authority may write to")
	f.StringVar(&l.acmeEABKeyID, "acme-eab-kid", "", "`id` of the account that the authority knows already")
	f.StringVar(&l.acmeEABKey, "acme-eab-key", "", "`key` of that account, in base64")
	f.BoolVar(&l.acmeIPCerts, "acme-ip-certs", false, "have certificates for IP addresses, too")
	f.StringVar(&l.key, "c", "", "`file` with the relay's key, made if missing (root: "+rootKey+")")
	f.IntVar(&l.httpPort, "http-port", 80, "`port` for plain HTTP beside TLS; -1: none")
	f.BoolVar(&l.stun, "stun", true, "answer STUN")
	f.IntVar(&l.stunPort, "stun-port", 3478, "UDP `port` for STUN")
	f.BoolVar(&l.derp, "derp", true, "relay packets")
	f.StringVar(&l.home, "home", "", "home `page`: blank, or a URL to redirect to")
	f.StringVar(&l.meshKeyFile, "mesh-psk-file", defaultMeshKey(), "`file` with the mesh key of the region")
	f.StringVar(&l.meshWith, "mesh-with", "", "`list` of the other relays of the region, host[:port][/dialhost]")
	f.StringVar(&l.secretsURL, "secrets-url", "", "not here: put the mesh key into the file of -mesh-psk-file")
	f.StringVar(&l.secretsPrefix, "secrets-path-prefix", "prod/derp", "means nothing without -secrets-url")
	f.StringVar(&l.secretsCache, "secrets-cache-dir", filepath.Join(os.Getenv("HOME"), ".cache", "derper-secrets"), "means nothing without -secrets-url")
	f.StringVar(&l.bootstrap, "bootstrap-dns-names", "", "`names` whose addresses /bootstrap-dns tells everybody")
	f.StringVar(&l.unpublished, "unpublished-bootstrap-dns-names", "", "`names` whose addresses it tells who asks for one")
	f.BoolVar(&l.verifyClients, "verify-clients", false, "let in whom the Tailscale daemon of this machine knows")
	f.StringVar(&l.socket, "socket", "", "`path` of the socket of that daemon")
	f.StringVar(&l.verifyURL, "verify-client-url", "", "let in whom this `URL` lets in")
	f.BoolVar(&l.failOpen, "verify-client-url-fail-open", true, "let everybody in while that URL cannot be reached")
	f.StringVar(&l.denyApps, "disallow-app-names", "", "`names` of applications whose peers stay out")
	f.Float64Var(&l.acceptLimit, "accept-connection-limit", math.Inf(1), "accept so many connections a second")
	f.IntVar(&l.acceptBurst, "accept-connection-burst", math.MaxInt, "so many may come at once")
	f.StringVar(&l.rateConfig, "rate-config", "", "JSON `file` with what each peer may send; read again by SIGHUP")
	f.DurationVar(&l.tcpKeepAlive, "tcp-keepalive-time", 10*time.Minute, "ask a silent peer's system whether it is there")
	f.DurationVar(&l.tcpUserTimeout, "tcp-user-timeout", 15*time.Second, "close connections whose peer's system does not answer for so long")
	f.DurationVar(&l.tcpTimeout, "tcp-write-timeout", 2*time.Second, "close connections that take no bytes for so long")
	f.BoolVar(&l.ace, "ace", false, "not here: a relay is no proxy to Tailscale's servers")
	f.BoolVar(&l.dev, "dev", false, "plain HTTP on "+devListen+", with a key that is forgotten at the end")
	f.BoolVar(&l.version, "version", false, "print the version and exit")
	return f
}

const (
	defaultHostname = "derp.tailscale.com"
	rootKey         = "/var/lib/derper/derper.key"
	devListen       = ":3340"
)

// defaultCertDir is where derper keeps certificates unless it is told; empty: nowhere.
func defaultCertDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "tailscale", "derper-certs")
}

// defaultMeshKey is where derper looks for the mesh key unless it is told; empty: it
// found none.
func defaultMeshKey() string {
	for _, path := range []string{"/home/derp/keys/derp-mesh.key", filepath.Join(os.Getenv("HOME"), "keys", "derp-mesh.key")} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
