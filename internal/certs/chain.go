package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// readChain returns the certificates of a file, in its order, with the line of each.
func readChain(path string, data []byte) ([]*x509.Certificate, error) {
	blocks, err := readBlocks(path, data)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for _, b := range blocks {
		switch b.kind {
		case "CERTIFICATE":
			cert, err := x509.ParseCertificate(b.der)
			if err != nil {
				return nil, fmt.Errorf("certificate %d (line %d): %w", len(chain)+1, b.line, unusable(b.der, err, len(chain)))
			}
			if algorithm := publicAlgorithmOf(b.der); cert.PublicKey == nil && algorithm != "" {
				return nil, fmt.Errorf("certificate %d (line %d): %w", len(chain)+1, b.line, unusable(b.der, nil, len(chain)))
			}
			chain = append(chain, cert)
		case "TRUSTED CERTIFICATE", "PKCS7": // in which there are certificates
			return nil, fmt.Errorf("line %d: it is %s", b.line, b.describe(path))
		}
	}
	if len(chain) == 0 {
		return nil, noCertificate(path, blocks)
	}
	return chain, nil
}

// unusable says of a certificate that does not parse what can be said. Only the first
// of a file is the leaf, for which another key can be made.
func unusable(der []byte, err error, before int) error {
	remedy := newKey
	if before > 0 {
		remedy = "take it out; if the certificate before it is from this authority, have that issued by another"
	}
	public := publicKeyOf(der)
	switch algorithm := nameOf(public); {
	case algorithm != "":
		return fmt.Errorf("its key is of %s, with which peers cannot talk: %s", algorithm, remedy)
	case public.Algorithm.Equal(oidEC) && public.Parameters.Tag == asn1.TagSequence:
		return errors.New(namedCurve + remedy)
	}
	return fmt.Errorf("%s: the file is damaged, copy it again", strings.TrimPrefix(err.Error(), "x509: "))
}

func noCertificate(path string, blocks []block) error {
	b := blocks[0]
	if b.isKey() {
		return fmt.Errorf("line %d: it is a private key and has no certificate with it: are the settings of the two files swapped?", b.line)
	}
	return fmt.Errorf("line %d: it is %s; want the leaf first, then the intermediates", b.line, b.describe(path))
}

// errStrangers: none of the certificates belongs to any of the keys.
var errStrangers = errors.New("certificate and key do not belong together")

// match finds the first certificate that belongs to one of the keys, and if that is out
// of date, one that is not: a renewed one may have been put behind the old one.
func match(chain []*x509.Certificate, keys []crypto.Signer, now time.Time) (leaf int, key crypto.Signer, err error) {
	for i, cert := range chain {
		for _, k := range keys {
			public, ok := k.Public().(interface{ Equal(crypto.PublicKey) bool })
			switch {
			case !ok || !public.Equal(cert.PublicKey):
			case checkDates(cert, now) == nil:
				return i, k, nil
			case key == nil:
				leaf, key = i, k
			}
		}
	}
	if key == nil {
		return 0, nil, errStrangers
	}
	return leaf, key, nil
}

// inOrder returns the certificates as peers want them: the leaf, then the issuer of
// each, then what belongs to neither, and each once. The places are those of the
// file, from 1.
func inOrder(chain []*x509.Certificate, leaf int) (ordered []*x509.Certificate, places []int) {
	left := make([]int, len(chain))
	for i := range left {
		left[i] = i
	}
	take := func(i int) {
		ordered, places = append(ordered, chain[i]), append(places, i+1)
		left = slices.DeleteFunc(left, func(j int) bool { return chain[j].Equal(chain[i]) })
	}
	take(leaf)
	for {
		child := ordered[len(ordered)-1]
		next := slices.IndexFunc(left, func(i int) bool { return issued(chain[i], child) })
		if next < 0 {
			break
		}
		take(left[next])
	}
	for len(left) > 0 {
		take(left[0])
	}
	return ordered, places
}

// issued reports whether one certificate was issued by another.
func issued(parent, child *x509.Certificate) bool {
	return bytes.Equal(parent.RawSubject, child.RawIssuer) && child.CheckSignatureFrom(parent) == nil
}

func isSelfSigned(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawSubject, cert.RawIssuer) && cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// orderText says how a file is served whose order is another; "" if it is as it stands.
func orderText(places []int, given int) string {
	var text []string
	same := len(places) == given
	for i, p := range places {
		text = append(text, strconv.Itoa(p))
		same = same && p == i+1
	}
	switch {
	case same:
		return ""
	case places[0] != 1:
		return fmt.Sprintf("certificate %d of the file belongs to the key: put it first; served in the order %s", places[0], strings.Join(text, ", "))
	}
	return fmt.Sprintf("of the %d certificates of the file, each is served once, in the order %s", given, strings.Join(text, ", "))
}
