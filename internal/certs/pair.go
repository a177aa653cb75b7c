package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
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

// parse builds the pair. Its errors name the file that is to blame.
func (f pairFiles) parse() (*tls.Certificate, error) {
	if err := checkChain(f.cert); err != nil {
		return nil, fmt.Errorf("certificate file %s: %w", f.certFile, err)
	}
	pair, err := tls.X509KeyPair(f.cert, f.key)
	if err != nil {
		reason := strings.TrimPrefix(err.Error(), "tls: ")
		return nil, fmt.Errorf("key file %s (for the certificate in %s): %s", f.keyFile, f.certFile, reason)
	}
	return &pair, nil
}

// checkChain parses every certificate of a PEM text, so that a bad intermediate
// is found before a peer finds it.
func checkChain(text []byte) error {
	found := 0
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		found++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("certificate %d: %s", found, strings.TrimPrefix(err.Error(), "x509: "))
		}
	}
	if found == 0 {
		return errors.New("no PEM block CERTIFICATE in it: give the leaf first, then the intermediates")
	}
	return nil
}

// checkLeaf reports why peers would refuse the leaf at the given time. An empty
// host means that any name is fine.
func checkLeaf(leaf *x509.Certificate, host string, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("it expired on %s", day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("it is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return checkName(leaf, host)
}

// checkName reports that the leaf does not cover host.
func checkName(leaf *x509.Certificate, host string) error {
	if host == "" || leaf.VerifyHostname(host) == nil {
		return nil
	}
	names := namesOf(leaf)
	if len(names) == 0 {
		return fmt.Errorf("it is not valid for %s: it has no subject alternative names", host)
	}
	return fmt.Errorf("it is valid for %s and not for %s", strings.Join(names, ", "), host)
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
