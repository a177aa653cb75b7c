package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
)

// readKeys returns the private keys of a key file.
func readKeys(path string, data []byte) ([]crypto.Signer, error) {
	blocks, err := readBlocks(path, data)
	if err != nil {
		return nil, err
	}
	var keys []crypto.Signer
	var bad error // of the first key that cannot be used
	for _, b := range blocks {
		if !b.isKey() {
			continue
		}
		k, err := b.privateKey(path)
		switch {
		case err == nil:
			keys = append(keys, k)
		case bad == nil:
			bad = fmt.Errorf("line %d: %w", b.line, err)
		}
	}
	switch {
	case len(keys) > 0:
		return keys, nil
	case bad != nil:
		return nil, bad
	}
	b := blocks[0]
	if b.kind == "CERTIFICATE" {
		return nil, fmt.Errorf("line %d: it is a certificate and has no private key with it: are the settings of the two files swapped?", b.line)
	}
	return nil, fmt.Errorf("line %d: it is %s", b.line, b.describe(path))
}

// isKey reports whether a block is a private key, of whatever form.
func (b block) isKey() bool { return strings.HasSuffix(b.kind, "PRIVATE KEY") }

// privateKey returns the key of a block, or says why it cannot be used.
func (b block) privateKey(path string) (crypto.Signer, error) {
	switch b.kind {
	case "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "DSA PRIVATE KEY", "TSS2 PRIVATE KEY":
		return nil, errors.New("it is " + b.describe(path))
	}
	switch { // by what it is, whatever it is called
	case b.encrypted, isEncrypted(b.der):
		return nil, errors.New("it is " + block{kind: "ENCRYPTED PRIVATE KEY"}.describe(path))
	case bytes.HasPrefix(b.der, []byte("openssh-key-v1\x00")):
		return nil, errors.New("it is " + block{kind: "OPENSSH PRIVATE KEY"}.describe(path))
	case isExplicit(b.der):
		return nil, errors.New(namedCurve + "convert it with openssl ec -in " + path + " -param_enc named_curve -out NEW.key")
	}
	k, err := parsePrivateKey(b.der)
	if err == nil {
		return k, nil
	}
	if algorithm := algorithmOf(b.der); algorithm != "" {
		return nil, fmt.Errorf("it is a key of %s, with which peers cannot talk: %s", algorithm, newKey)
	}
	return nil, errors.New("the private key is damaged, or of a form that nothing here knows: copy it again, or see what openssl pkey -in " + path + " says")
}

// isEncrypted reports whether DER is a PKCS#8 key behind a passphrase: the algorithm
// of that stands where others have a version.
func isEncrypted(der []byte) bool {
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	rest, err := asn1.Unmarshal(der, &key)
	return err == nil && len(rest) == 0
}

// pkcs8Key and sec1Key are private keys as far as their algorithm goes.
type pkcs8Key struct {
	Version   int
	Algorithm pkix.AlgorithmIdentifier
	Key       []byte
	Rest      asn1.RawValue `asn1:"optional"`
}

type sec1Key struct {
	Version int
	Key     []byte
	Curve   asn1.RawValue  `asn1:"optional,explicit,tag:0"` // Bytes are the curve itself
	Public  asn1.BitString `asn1:"optional,explicit,tag:1"`
}

var oidEC = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}

// isExplicit reports whether a key has its curve written out in place of its name.
func isExplicit(der []byte) bool {
	var pkcs8 pkcs8Key
	var sec1 sec1Key
	if _, err := asn1.Unmarshal(der, &pkcs8); err == nil {
		return pkcs8.Algorithm.Algorithm.Equal(oidEC) && pkcs8.Algorithm.Parameters.Tag == asn1.TagSequence
	}
	var curve asn1.RawValue
	if _, err := asn1.Unmarshal(der, &sec1); err == nil {
		_, err := asn1.Unmarshal(sec1.Curve.Bytes, &curve)
		return err == nil && curve.Tag == asn1.TagSequence
	}
	return false
}

// parsePrivateKey reads the three forms of private keys, whatever the block was called.
func parsePrivateKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, errors.New("it cannot sign")
	}
	return signer, nil
}

// algorithms are those that keys may have and TLS, or Go, has not.
var algorithms = map[string]string{
	"1.3.101.110": "X25519", "1.3.101.111": "X448", "1.3.101.113": "Ed448",
	"1.2.840.113549.1.1.10": "RSA-PSS", "1.2.840.10040.4.1": "DSA", "1.2.840.113549.1.3.1": "Diffie-Hellman",
	"2.16.840.1.101.3.4.3.17": "ML-DSA-44", "2.16.840.1.101.3.4.3.18": "ML-DSA-65", "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
	"1.3.132.0.10": "the curve secp256k1", "1.2.156.10197.1.301": "the curve SM2", "1.2.840.10045.3.1.1": "the curve P-192",
	"1.3.36.3.3.2.8.1.1.7": "a Brainpool curve", "1.3.36.3.3.2.8.1.1.11": "a Brainpool curve", "1.3.36.3.3.2.8.1.1.13": "a Brainpool curve",
}

// algorithmOf names the algorithm of a key that cannot be used; "" if it is none of those.
func algorithmOf(der []byte) string {
	var pkcs8 pkcs8Key
	var sec1 sec1Key
	if _, err := asn1.Unmarshal(der, &pkcs8); err == nil {
		return nameOf(pkcs8.Algorithm)
	}
	if _, err := asn1.Unmarshal(der, &sec1); err == nil {
		return algorithms[oidOf(sec1.Curve.Bytes).String()]
	}
	return ""
}

// oidOf returns the identifier that DER is; none if it is something else.
func oidOf(der []byte) (oid asn1.ObjectIdentifier) {
	asn1.Unmarshal(der, &oid)
	return oid
}

func nameOf(a pkix.AlgorithmIdentifier) string {
	if name := algorithms[a.Algorithm.String()]; name != "" {
		return name
	}
	return algorithms[oidOf(a.Parameters.FullBytes).String()]
}

// publicAlgorithmOf is algorithmOf for the key in a certificate, which need not be
// one that can be parsed.
func publicAlgorithmOf(der []byte) string { return nameOf(publicKeyOf(der)) }

// publicKeyOf returns the algorithm of the key in a certificate.
func publicKeyOf(der []byte) pkix.AlgorithmIdentifier {
	var cert struct {
		TBS struct {
			Version      int `asn1:"optional,explicit,default:0,tag:0"`
			SerialNumber asn1.RawValue
			Signature    pkix.AlgorithmIdentifier
			Issuer       asn1.RawValue
			Validity     asn1.RawValue
			Subject      asn1.RawValue
			PublicKey    struct {
				Algorithm pkix.AlgorithmIdentifier
				Key       asn1.BitString
			}
			Rest []asn1.RawValue `asn1:"optional,omitempty"`
		}
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	asn1.Unmarshal(der, &cert) // of what is none, the algorithm is none
	return cert.TBS.PublicKey.Algorithm
}

// keyText names a public key for people.
func keyText(public any) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA of %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC on " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "an unknown kind"
}
