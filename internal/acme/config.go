package acme

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/detour-relay/detour/internal/hostname"
)

// LetsEncrypt is the directory of the authority that is asked unless another one is
// named.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// A Challenge is a way to show that a name leads to this relay.
type Challenge string

// The challenges.
const (
	ALPN Challenge = "tls-alpn" // the authority connects to port 443 (RFC 8737)
	HTTP Challenge = "http"     // to port 80 (RFC 8555, 8.3)
	DNS  Challenge = "dns"      // it asks the DNS for a record (RFC 8555, 8.4)
)

// Challenges are all there are.
var Challenges = []string{string(ALPN), string(HTTP), string(DNS)}

// shortLived is the profile that authorities issue for addresses with. One that has no
// such profile is asked without.
const shortLived = "shortlived"

// Config says which certificates are wanted, of whom, and how. Zero fields mean the
// default.
type Config struct {
	Names     []string       // DNS names and IP addresses; required
	Directory string         // https URL; empty: LetsEncrypt
	Roots     *x509.CertPool // who may sign the directory's own certificate; nil: the system's
	Contact   string         // mail address that the authority is told; empty: none
	Account   External       // that the authority knows already
	Profile   string         // of its issuance; empty: what it does by itself, for addresses shortLived
	Challenge Challenge      // empty: ALPN
	Records   Records        // of DNS, which needs them

	Storage certmagic.Storage // required
	Where   string            // the storage is, for people

	// Between tries that failed: First, then longer and longer up to Most. Zero: as
	// authorities' limits want it. For tests.
	First, Most time.Duration
	answerTime  time.Duration // that the authority has for each answer; zero: as usual. For tests

	Logger *slog.Logger // nil discards
}

// Records says who makes records in the DNS: a program or a server.
type Records struct {
	Hook   string        // path of a program
	Server string        // host:port of the zone's primary server
	Wait   time.Duration // until all servers of the zone have a record

	key       *tsigKey  // that Server knows; nil: it goes by addresses
	resolvers resolvers // who know where a CNAME leads; nil: those of the system
}

// External is an account outside ACME, which some authorities want (RFC 8555, 7.3.4).
type External struct {
	KeyID string
	Key   string // base64url
}

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	if c.Directory == "" {
		c.Directory = LetsEncrypt
	}
	if c.Challenge == "" {
		c.Challenge = ALPN
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Storage == nil:
		return c, errors.New("acme: Config.Storage is missing")
	case len(c.Names) == 0:
		return c, errors.New("acme: Config.Names is empty")
	case c.Challenge == DNS && (c.Records.Hook == "") == (c.Records.Server == ""):
		return c, errors.New("acme: Config.Records needs one of Hook and Server")
	case !slices.Contains(Challenges, string(c.Challenge)):
		return c, fmt.Errorf("acme: no such challenge: %q", c.Challenge)
	}
	for i, name := range c.Names {
		parsed, err := hostname.Parse(name)
		if err != nil {
			return c, fmt.Errorf("acme: %w", err)
		}
		if i == 0 {
			c.Names = append([]string(nil), c.Names...)
		}
		c.Names[i] = parsed
	}
	return c, nil
}
