// Package issuers knows the issuers of certificates that nobody trusts unless told to,
// whichever intermediates come with them. It is the one judge of them, for the relay
// that serves such a certificate and for who meets it.
package issuers

import (
	"crypto/x509"
	"slices"
	"strings"
)

// Known is what is known of such an issuer.
type Known struct {
	words []string // of its name, all of them

	Why string // nobody trusts it
	Do  string // to have another certificate

	// Pin tells a certificate that is meant for the relay, so that it can be pinned,
	// from one that stands for a missing one.
	Pin bool

	// Root is how to find the certificate of its root; empty: not to be trusted.
	Root string
}

const (
	production = "have it issued by the production environment"
	staging    = "it is from an authority's staging environment, which nobody trusts"
	public     = "take a certificate of Let's Encrypt"
)

var all = []Known{
	{words: []string{"cloudflare", "origin"}, Why: "it is from Cloudflare's Origin CA, which only Cloudflare's proxies trust", Do: public, Pin: true},
	{words: []string{"(staging)"}, Why: staging, Do: production},
	{words: []string{"fake le "}, Why: staging, Do: production},
	{
		words: []string{"mkcert"}, Why: "only machines where mkcert -install ran trust its issuer", Do: public, Pin: true,
		Root: "rootCA.pem in the directory that mkcert -CAROOT prints",
	},
	{
		words: []string{"caddy local authority"}, Why: "only machines that Caddy was told to set up trust its local authority",
		Do: "let Caddy get a public certificate", Pin: true, Root: "pki/authorities/local/root.crt of Caddy's data directory",
	},
	{
		words: []string{"kubernetes ingress controller fake certificate"},
		Why:   "it is the default certificate of an ingress controller, which stands for a missing one", Do: "see that the controller has yours",
	},
	{words: []string{"traefik default cert"}, Why: "it is Traefik's default certificate, which stands for a missing one", Do: "see that Traefik has yours"},
}

// Of recognises the issuer of a certificate; nil if it is nothing known.
func Of(leaf *x509.Certificate) *Known {
	name := strings.ToLower(leaf.Issuer.String())
	for i, known := range all {
		if !slices.ContainsFunc(known.words, func(word string) bool { return !strings.Contains(name, word) }) {
			return &all[i]
		}
	}
	return nil
}

// StandsIn reports whether the certificate is no one of the relay's at all, so that its
// names do not matter.
func (k *Known) StandsIn() bool { return k != nil && !k.Pin && k.Do != production }
