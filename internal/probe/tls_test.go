package probe

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func TestNoTLSThere(t *testing.T) {
	t.Parallel()
	port := serve(t, nil, newScript())
	checks := checkedNode(t, Config{}, mapNode("900a", port, goodCert(t)))
	want(t, checks, "tls", Fail, "speaks plain HTTP, not TLS", "start the relay with TLS, or correct the node's port")
	checks = checked(t, Config{Dial: urlOf("https", port)}).Regions[0].Nodes[0].Checks
	want(t, checks, "tls", Fail, "speaks plain HTTP, not TLS", "write http://")
}

func TestPlainHTTPToTLS(t *testing.T) {
	t.Parallel()
	port, _ := startRelay(t, goodCert(t), relay.Config{})
	checks := checked(t, Config{Dial: urlOf("http", port)}).Regions[0].Nodes[0].Checks
	want(t, checks, "upgrade", Fail, "400: probably a TLS port", "write https://")
}

func TestCertificates(t *testing.T) {
	ca := newAuthority(t)
	issue := func(change func(*x509.Certificate)) func() (*derpmap.Node, Config) {
		return func() (*derpmap.Node, Config) {
			port, _ := startRelay(t, ca.issue(t, change), relay.Config{})
			return mapNode("900a", port, nil), Config{Dial: trusting(ca.pool())}
		}
	}
	pinned := func(right bool, extra ...[]byte) func() (*derpmap.Node, Config) {
		return func() (*derpmap.Node, Config) {
			cert := ca.issue(t, asIs)
			port := serve(t, with(cert, extra...), newScript())
			if !right {
				cert = ca.issue(t, asIs)
			}
			return mapNode("900a", port, cert), Config{}
		}
	}
	for _, test := range []struct {
		name  string
		serve func() (*derpmap.Node, Config)
		check string
		as    Status
		what  string
		do    string
		also  string // another check that fails
	}{
		{"good", issue(asIs), "tls", OK, "TLS 1.3, verified", "", ""},
		{"expired", issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-3*day - time.Hour) }),
			"tls", Fail, "has expired: .* ended on .* UTC, and the clock of this machine says .* UTC", "renew it", "expiry"},
		{"not yet", issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(day) }),
			"tls", Fail, "not valid yet: .* begins on .* UTC, and the clock of this machine says .* UTC", "correct this clock", "expiry"},
		{"soon", issue(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-80*day), time.Now().Add(6*day+time.Hour)
		}), "expiry", Warn, "expires on .*, in 6 days", "renew it now", ""},
		{"short-lived", issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(5*day + time.Hour) }), "expiry", OK, "5 days left", "", ""},
		{"other name", issue(func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} }),
			"tls", Fail, "not for relay.test", "issue a certificate for relay.test, or correct HostName", "names"},
		{"common name", issue(func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, hostName }),
			"names", Fail, "relay.test is not among the names", "subjectAltName=DNS:relay.test\\): the common name does not count", "tls"},
		{"unknown authority", func() (*derpmap.Node, Config) {
			n, _ := issue(asIs)()
			return n, Config{Dial: trusting(newAuthority(t).pool())}
		}, "tls", Fail, "comes without intermediates", "fullchain.pem; or name its authority with --ca", ""},
		{"authority of one's own", func() (*derpmap.Node, Config) {
			port := serve(t, with(ca.issue(t, asIs), ca.cert.Raw), newScript())
			return mapNode("900a", port, nil), Config{Dial: trusting(newAuthority(t).pool())}
		}, "tls", Fail, "cannot be traced", "with --ca if it is your own", ""},
		{"self-signed", func() (*derpmap.Node, Config) {
			port := serve(t, selfSignedCert(t), newScript())
			return mapNode("900a", port, nil), Config{Dial: trusting(ca.pool())}
		}, "tls", Fail, "self-signed", "pin it: write sha256-raw:[0-9a-f]{64} into the node's CertName", ""},
		{"pinned", pinned(true), "tls", OK, "is the pinned certificate", "", ""},
		{"other pin", pinned(false),
			"tls", Fail, "is sha256-raw:[0-9a-f]{64}, not the pinned one", "write it into the node's CertName", ""},
		{"pin with chain", pinned(true, ca.cert.Raw),
			"tls", Fail, "1 more certificates than the pinned one", "without intermediates", ""},
		{"fronted", func() (*derpmap.Node, Config) {
			n, cfg := issue(func(c *x509.Certificate) { c.DNSNames = []string{"front.test"} })()
			n.CertName = "front.test"
			return n, cfg
		}, "tls", OK, "verified for the name front.test", "", ""},
		{"insecure", func() (*derpmap.Node, Config) {
			n, cfg := issue(asIs)()
			n.InsecureForTests = true
			return n, cfg
		}, "tls", Warn, "anybody can be this relay", "take InsecureForTests out of the node, and pin", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, cfg := test.serve()
			checks := checkedNode(t, cfg, n)
			want(t, checks, test.check, test.as, test.what, test.do)
			wantNoOther(t, checks, test.check, test.also)
			if test.also != "" {
				want(t, checks, test.also, Fail, ".", ".")
			}
		})
	}
}

func selfSignedCert(t *testing.T) *tls.Certificate {
	a := newAuthority(t)
	c := template(func(c *x509.Certificate) {
		c.DNSNames = []string{hostName}
	})
	der := must(x509.CreateCertificate(rand.Reader, c, c, a.key.Public(), a.key))(t)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key, Leaf: must(x509.ParseCertificate(der))(t)}
}

func TestMetaCertificate(t *testing.T) {
	t.Parallel()
	cert, s := goodCert(t), newScript()
	behind := func(extra ...[]byte) []Check {
		return checkedNode(t, Config{}, mapNode("900a", serve(t, with(cert, extra...), s), cert))
	}
	right := func(change func(*x509.Certificate)) []byte { return metaCert(t, s.key.Public(), change) }

	checks := behind()
	want(t, checks, "meta", OK, "none: clients connect without the fast start", "")
	wantNoOther(t, checks)
	checks = behind(right(asIs))
	want(t, checks, "meta", OK, "key matches, fast start", "")
	wantNoOther(t, checks)
	checks = behind(right(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(70000) }))
	want(t, checks, "meta", Warn, "serial number, the protocol version, is 70000", "make its serial number 2")
	checks = behind(right(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }))
	want(t, checks, "meta", Warn, "valid until", "restart the relay")
	wantNoOther(t, checks, "meta")
	checks = behind(right(asIs), right(asIs))
	want(t, checks, "meta", Warn, "not the last", "behind all others")

	checks = behind(metaCert(t, key.NewPrivate().Public(), asIs))
	want(t, checks, "meta", Fail, "it says nodekey:.*, but the relay's key is nodekey:", "restart what ends TLS")
	want(t, checks, "login", Fail, "not the relay's", "see meta")
	want(t, checks, "packet", Skip, "needs login", "")
}
