package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whatever the order of the file, peers get leaf and issuers, and the operator hears
// what the file is like.
func TestChainsInAnyOrder(t *testing.T) {
	ca, other := newPKI(t, "Test CA"), newPKI(t, "Other CA")
	leaf := issue(t, ca.middle, server(), newECKey(t))
	namesake := issue(t, ca.root, authority("Test CA"), newECKey(t))
	past := server()
	past.NotBefore, past.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	old := issue(t, ca.middle, past, leaf.key)
	key := keyPEM(t, leaf.key)
	for name, c := range map[string]struct {
		file string
		want []issuer
		says string // of the log; empty: nothing
	}{
		"right":                {pemOf(leaf, ca.middle), []issuer{leaf, ca.middle}, ""},
		"with the root":        {pemOf(leaf, ca.middle, ca.root), []issuer{leaf, ca.middle, ca.root}, ""},
		"key in it, too":       {pemOf(leaf, ca.middle) + key, []issuer{leaf, ca.middle}, ""},
		"key first":            {key + pemOf(leaf, ca.middle), []issuer{leaf, ca.middle}, ""},
		"intermediate first":   {pemOf(ca.middle, leaf), []issuer{leaf, ca.middle}, "certificate 2 of the file belongs to the key: put it first; served in the order 2, 1"},
		"reversed":             {pemOf(ca.root, ca.middle, leaf), []issuer{leaf, ca.middle, ca.root}, "served in the order 3, 2, 1"},
		"root before the rest": {pemOf(leaf, ca.root, ca.middle), []issuer{leaf, ca.middle, ca.root}, "served once, in the order 1, 3, 2"},
		"leaf twice":           {pemOf(leaf, leaf, ca.middle), []issuer{leaf, ca.middle}, "of the 3 certificates of the file, each is served once, in the order 1, 3"},
		"a stranger between":   {pemOf(leaf, other.root, ca.middle), []issuer{leaf, ca.middle, other.root}, "served once, in the order 1, 3, 2"},
		"leaf alone":           {pemOf(leaf), []issuer{leaf}, "the certificate of its issuer, Test CA, is not in the file"},
		"namesake of issuer":   {pemOf(leaf, namesake), []issuer{leaf, namesake}, "the certificate of its issuer in the file, Test CA, is another one of that name"},
		"issuer and namesake":  {pemOf(leaf, namesake, ca.middle), []issuer{leaf, ca.middle, namesake}, "in the order 1, 3, 2"},
		"renewed behind old":   {pemOf(old, leaf, ca.middle), []issuer{leaf, ca.middle, old}, "certificate 2 of the file belongs to the key"},
		"leaf and root":        {pemOf(leaf, ca.root), []issuer{leaf, ca.root}, "the certificate of its issuer, Test CA, is not in the file"},
	} {
		t.Run(name, func(t *testing.T) {
			f, log, err := open(t, c.file, key, "relay.example")
			if err != nil {
				t.Fatal(err)
			}
			shown := pairOf(f).Certificate
			if !slices.EqualFunc(shown, c.want, func(der []byte, i issuer) bool { return string(der) == string(i.cert.Raw) }) {
				t.Errorf("%d certificates are served", len(shown))
			}
			if c.says == "" && log.String() != "" || c.says != "" && (log.Lines("WARN", c.says) != 1 || log.Lines() != 1) {
				t.Errorf("said %s, want one line with %q", log, c.says)
			}
		})
	}
}

func TestPairThatDoesNotBelongTogether(t *testing.T) {
	ca := newPKI(t, "Test CA")
	leaf := issue(t, ca.middle, server(), newECKey(t))
	_, _, err := open(t, pemOf(leaf, ca.middle), keyPEM(t, newECKey(t)), "")
	checkError(t, err, "certificate file ", "and key file ", "do not belong together", "(for relay.example) was made with another key", "name the key that it was made with")
	_, _, err = open(t, pemOf(leaf), keyPEM(t, must2(newRSAKey())), "")
	checkError(t, err, "certificate file ", "the key is RSA of 2048 bits", "EC on P-256")
}

// What peers will not like about a certificate is said when it is opened.
func TestAdviceAtStart(t *testing.T) {
	ca := newPKI(t, "Test CA")
	issued := func(change func(*x509.Certificate)) *x509.Certificate {
		c := server()
		change(c)
		return c
	}
	cloudflare := issue(t, issuer{}, &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"CloudFlare, Inc."}, OrganizationalUnit: []string{"CloudFlare Origin SSL Certificate Authority"}},
		IsCA:    true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, newECKey(t))
	staging := issue(t, issuer{}, authority("(STAGING) Ersatz Edamame E1"), newECKey(t))
	for name, c := range map[string]struct {
		by   issuer
		leaf *x509.Certificate
		host string
		want []string // words of one line; none: nothing is said
	}{
		"good":       {ca.middle, server(), "relay.example", nil},
		"no SAN":     {ca.middle, issued(func(c *x509.Certificate) { c.DNSNames = nil }), "", []string{"no subject alternative names", "-addext", "subjectAltName=DNS:relay.example", "TLS mode self", "give no host name and turn the self-check off"}},
		"client's":   {ca.middle, issued(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "", []string{"serverAuth"}},
		"Cloudflare": {cloudflare, server(), "", []string{"Cloudflare's Origin CA", "Let's Encrypt", "pin"}},
		"staging":    {staging, server(), "", []string{"staging environment"}},
		"not yet good": {ca.middle, issued(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(90*24*time.Hour)
		}), "", []string{"not valid before", "the clock of this machine says " + time.Now().UTC().Format(time.DateOnly)}},
		"expired": {ca.middle, issued(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}), "", []string{"it expired on", "the clock of this machine says "}},
		"nearly so": {ca.middle, issued(func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(75*time.Second)
		}), "", []string{"expires soon", "in=1m0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			leaf := issue(t, c.by, c.leaf, newECKey(t))
			file := pemOf(leaf, c.by)
			if name == "Cloudflare" || name == "staging" {
				file = pemOf(leaf)
			}
			_, log, err := open(t, file, keyPEM(t, leaf.key), c.host)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == nil && log.String() != "" || c.want != nil && (log.Lines(c.want...) != 1 || log.Lines() != 1) {
				t.Errorf("said %s, want one line with %q", log, c.want)
			}
		})
	}
}

// With a name that peers use, a certificate that cannot be verified for it is refused,
// with the ways out.
func TestNoAlternativeNamesIsRefusedWithRemedies(t *testing.T) {
	for host, option := range map[string]string{"relay.example": "subjectAltName=DNS:relay.example", "127.0.0.1": "subjectAltName=IP:127.0.0.1"} {
		template := server()
		template.DNSNames = nil
		leaf := issue(t, issuer{}, template, newECKey(t))
		_, _, err := open(t, pemOf(leaf), keyPEM(t, leaf.key), host)
		checkError(t, err, "certificate file ", "not valid for "+host, "no subject alternative names", option, "TLS mode self", "pin", "self-check off")
		if err != nil && strings.Contains(err.Error(), "--") {
			t.Errorf("the error names a flag: %v", err)
		}
	}
}

func TestCloudflareOriginCertificateIsRecognised(t *testing.T) {
	chain, err := readChain("cf.pem", []byte(testdata(t, "cf.pem")))
	if err != nil || !strings.Contains(foreignIssuer(chain[0]), "Cloudflare") {
		t.Errorf("%v", err)
	}
	if got := foreignIssuer(issue(t, newPKI(t, "Cloudflare Inc ECC CA-3").middle, server(), newECKey(t)).cert); got != "" {
		t.Errorf("Cloudflare's public authority: %s", got)
	}
}
