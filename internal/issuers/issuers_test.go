package issuers

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
)

func TestIssuersAreRecognisedByTheirNames(t *testing.T) {
	name := func(organization, unit, common string) pkix.Name {
		return pkix.Name{Organization: []string{organization}, OrganizationalUnit: []string{unit}, CommonName: common}
	}
	for _, test := range []struct {
		issuer   pkix.Name
		why      string // empty: not known
		standsIn bool
	}{
		{name("CloudFlare, Inc.", "CloudFlare Origin SSL Certificate Authority", ""), "Cloudflare's Origin CA", false},
		{name("Cloudflare, Inc.", "CloudFlare Origin SSL ECC Certificate Authority", ""), "Cloudflare's Origin CA", false},
		{name("(STAGING) Let's Encrypt", "", "(STAGING) Pretend Pear X1"), "staging environment", false},
		{name("", "", "Fake LE Intermediate X1"), "staging environment", false},
		{name("mkcert development CA", "me@host", "mkcert me@host"), "mkcert -install", false},
		{name("", "", "Caddy Local Authority - ECC Intermediate"), "Caddy", false},
		{name("Acme Co", "", "Kubernetes Ingress Controller Fake Certificate"), "ingress controller", true},
		{name("", "", "TRAEFIK DEFAULT CERT"), "Traefik's default", true},

		{name("Cloudflare, Inc.", "", "Cloudflare Inc ECC CA-3"), "", false},
		{name("Let's Encrypt", "", "E5"), "", false},
		{name("Fortinet", "Certificate Authority", "FG100FTK"), "", false},
		{pkix.Name{}, "", false},
	} {
		known := Of(&x509.Certificate{Issuer: test.issuer})
		if known == nil != (test.why == "") || known != nil && !strings.Contains(known.Why, test.why) {
			t.Errorf("%v: %+v, want %q", test.issuer, known, test.why)
		}
		if known.StandsIn() != test.standsIn {
			t.Errorf("%v: stands in: %v", test.issuer, known.StandsIn())
		}
	}
}
