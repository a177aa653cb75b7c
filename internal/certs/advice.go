package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"

	"github.com/detour-relay/detour/internal/issuers"
)

const (
	weakRSA    = 2048 // bits; below, OpenSSL refuses by default
	uselessRSA = 1024 // below, crypto/rsa refuses to sign
)

// checkUse says why no handshake succeeds with a key.
func checkUse(key crypto.Signer) error {
	if k, ok := key.Public().(*rsa.PublicKey); ok && k.N.BitLen() < uselessRSA {
		return fmt.Errorf("%s is too short for TLS: %s", keyText(k), newKey)
	}
	return nil
}

// advice says what is wrong with a pair that can be served all the same: why some
// peers, or all, may refuse it.
func advice(pair *tls.Certificate) (all []string) {
	leaf := pair.Leaf
	note := func(wrong bool, text string) {
		if wrong {
			all = append(all, text)
		}
	}
	if err := checkName(leaf, ""); err != nil {
		note(true, err.Error())
	}
	foreign := foreignIssuer(leaf)
	note(foreign != "", foreign)
	namesake := foreign == "" && isFromNamesake(pair)
	note(namesake, "the certificate of its issuer in the file, "+issuerName(leaf)+", is another one of that name, which has not signed it: "+
		"take the one that came with the certificate (of ACME clients: fullchain.pem)")
	note(foreign == "" && !namesake && !reachesRoot(pair), "the certificate of its issuer, "+issuerName(leaf)+", is not in the file, and this machine does not know it: "+
		"serve the whole chain (of ACME clients: fullchain.pem); peers that trust "+issuerName(leaf)+" itself need no more")
	switch k := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		note(k.N.BitLen() < weakRSA, keyText(k)+" is too short for many peers: take 2048 bits or more, or EC")
	case ed25519.PublicKey:
		note(true, "browsers, which show the relay's page, take no Ed25519: take EC on P-256")
	case *ecdsa.PublicKey:
		note(k.Curve == elliptic.P224(), "TLS 1.3 has no curve P-224: take P-256")
	}
	note(isOldSignature(leaf.SignatureAlgorithm) && !isSelfSigned(leaf), "it is signed with "+leaf.SignatureAlgorithm.String()+", which peers refuse: have it issued anew")
	note(!servesTLS(leaf), "its extended key usage does not have serverAuth: have it issued for servers")
	return all
}

// reachesRoot reports whether peers have what they need to get from the leaf to an
// authority: it is its own, its issuer is in the file, or this machine knows that.
func reachesRoot(pair *tls.Certificate) bool {
	if len(pair.Certificate) > 1 {
		next, err := x509.ParseCertificate(pair.Certificate[1])
		if err == nil && bytes.Equal(next.RawSubject, pair.Leaf.RawIssuer) {
			return true
		}
	}
	if isSelfSigned(pair.Leaf) {
		return true
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{CurrentTime: pair.Leaf.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}

// isFromNamesake reports whether the file has a certificate by the name of the leaf's
// issuer, but with another key, and none of the issuer itself.
func isFromNamesake(pair *tls.Certificate) bool {
	found := false
	for _, der := range pair.Certificate[1:] {
		other, err := x509.ParseCertificate(der)
		if err != nil || !bytes.Equal(other.RawSubject, pair.Leaf.RawIssuer) {
			continue
		}
		if issued(other, pair.Leaf) {
			return false
		}
		found = true
	}
	return found && !isSelfSigned(pair.Leaf)
}

func issuerName(leaf *x509.Certificate) string {
	if leaf.Issuer.CommonName != "" {
		return leaf.Issuer.CommonName
	}
	return leaf.Issuer.String()
}

func isOldSignature(a x509.SignatureAlgorithm) bool {
	return slices.Contains([]x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1}, a)
}

func servesTLS(leaf *x509.Certificate) bool {
	return len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// foreignIssuer says what is wrong with a certificate that peers will not trust,
// whatever the file has besides; "" if that is not known.
func foreignIssuer(leaf *x509.Certificate) string {
	known := issuers.Of(leaf)
	switch {
	case known == nil:
		return ""
	case known.Pin:
		return known.Why + ": " + known.Do + ", or serve this one alone and publish its pin as CertName in the map"
	}
	return known.Why + ": " + known.Do
}

// altName is a name as openssl wants it.
func altName(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return "IP:" + host
	}
	return "DNS:" + host
}
