package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pairFiles is what the two files of a pair held when they were read together.
type pairFiles struct {
	certFile, keyFile string
	cert, key         []byte
}

// parse builds the pair. Its errors name the file that is to blame. order says how
// the file is served, if not as it stands.
func (f pairFiles) parse() (pair *tls.Certificate, order string, err error) {
	chain, err := readChain(f.certFile, f.cert)
	if err != nil {
		return nil, "", fmt.Errorf("certificate file %s: %w", f.certFile, err)
	}
	keys, err := readKeys(f.keyFile, f.key)
	if err != nil {
		return nil, "", fmt.Errorf("key file %s: %w", f.keyFile, err)
	}
	leaf, key, err := match(chain, keys, time.Now())
	if err != nil {
		return nil, "", fmt.Errorf("certificate file %s and key file %s: %w: %s: name the key that it was made with",
			f.certFile, f.keyFile, err, difference(chain[0], keys[0]))
	}
	if err := checkUse(key); err != nil {
		return nil, "", fmt.Errorf("key file %s: %w", f.keyFile, err)
	}
	ordered, places := inOrder(chain, leaf)
	pair = &tls.Certificate{PrivateKey: key, Leaf: ordered[0]}
	for _, cert := range ordered {
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	return pair, orderText(places, len(chain)), nil
}

// difference says how a key is not that of a certificate.
func difference(cert *x509.Certificate, key crypto.Signer) string {
	is, want := keyText(key.Public()), keyText(cert.PublicKey)
	if is == want {
		return fmt.Sprintf("the certificate (%s) was made with another key of the same kind, %s", subject(cert), want)
	}
	return fmt.Sprintf("the certificate (%s) was made with another key: the key is %s, the certificate's %s", subject(cert), is, want)
}

// subject names a certificate for people.
func subject(cert *x509.Certificate) string {
	if names := namesOf(cert); len(names) > 0 {
		return "for " + strings.Join(names[:min(3, len(names))], ", ")
	}
	return fmt.Sprintf("of %q", cert.Subject.String())
}

// CheckLeaf reports why peers would refuse the leaf at the given time. An empty
// host means that any name is fine.
func CheckLeaf(leaf *x509.Certificate, host string, now time.Time) error {
	if err := checkDates(leaf, now); err != nil {
		return err
	}
	return checkName(leaf, host)
}

// checkDates says the time of this machine, too: it may be the one that is wrong.
func checkDates(leaf *x509.Certificate, now time.Time) error {
	clock := now.UTC().Format(time.RFC3339)
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("it expired on %s; the clock of this machine says %s: renew it, or set the clock",
			leaf.NotAfter.UTC().Format(time.RFC3339), clock)
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("it is not valid before %s; the clock of this machine says %s: set the clock, or wait",
			leaf.NotBefore.UTC().Format(time.RFC3339), clock)
	}
	return nil
}

// checkName reports that the leaf does not cover host; an empty one stands for any.
func checkName(leaf *x509.Certificate, host string) error {
	names := namesOf(leaf)
	switch {
	case len(names) == 0:
		return noNames(leaf, host)
	case host == "" || leaf.VerifyHostname(host) == nil:
		return nil
	}
	return fmt.Errorf("it is valid for %s and not for %s: name the relay as the certificate does, or have one issued for it",
		strings.Join(names, ", "), host)
}

// noNames is about a certificate that has a common name at best, at which peers have
// not looked for years.
func noNames(leaf *x509.Certificate, host string) error {
	if host == "" {
		host = leaf.Subject.CommonName
	}
	if host == "" {
		host = "relay.example"
	}
	return fmt.Errorf("it is not valid for %s: it has no subject alternative names, and peers do not look at the common name: "+
		`make it anew with openssl req's option -addext "subjectAltName=%s", or let the relay make its own (TLS mode self), whose pin goes into the map; `+
		"for a map with InsecureForTests give no host name and turn the self-check off", host, altName(host))
}

// namesOf returns what a leaf can be verified for.
func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// day prints a date for people.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
