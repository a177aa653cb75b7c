package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

func TestKeysThatCannotBeUsedAreNamed(t *testing.T) {
	leaf := issue(t, newPKI(t, "Test CA").middle, server(), newECKey(t))
	cert := pemOf(leaf)
	for _, c := range []struct {
		name, cert, key string
		want            []string
	}{
		{"PKCS#8, encrypted", cert, testdata(t, "enc8.key"), []string{"encrypted", "openssl pkey -in "}},
		{"PKCS#1, encrypted", cert, testdata(t, "rsaenc.key"), []string{"encrypted", "openssl pkey -in "}},
		{"SEC1, encrypted", cert, testdata(t, "sec1enc.key"), []string{"encrypted", "openssl pkey -in "}},
		{"encrypted, CRLF", cert, strings.ReplaceAll(testdata(t, "rsaenc.key"), "\n", "\r\n"), []string{"encrypted"}},
		{"encrypted, escaped", cert, strings.ReplaceAll(testdata(t, "sec1enc.key"), "\n", `\n`), []string{"encrypted"}},
		{"SSH", cert, testdata(t, "ssh.key"), []string{"a key of SSH", "ssh-keygen -p"}},
		{"Ed448", cert, testdata(t, "ed448.key"), []string{"Ed448", "openssl genpkey -algorithm EC"}},
		{"RSA-PSS", cert, testdata(t, "pss.key"), []string{"RSA-PSS", "openssl genpkey"}},
		{"secp256k1", cert, testdata(t, "k1.key"), []string{"secp256k1", "openssl genpkey"}},
		{"secp256k1, SEC1", cert, testdata(t, "k1sec1.key"), []string{"secp256k1"}},
		{"Brainpool", cert, testdata(t, "brainpool.key"), []string{"Brainpool"}},
		{"X25519", cert, testdata(t, "x25519.key"), []string{"X25519"}},
		{"public key", cert, testdata(t, "pub.key"), []string{"a public key"}},
		{"parameters alone", cert, testdata(t, "ecparams.key"), []string{"the parameters of an EC key without the key"}},
		{"certificate", cert, cert, []string{"it is a certificate and has no private key with it", "swapped"}},
		{"request", cert, testdata(t, "request.csr"), []string{"a certificate request"}},
		{"damaged", cert, strings.Replace(keyPEM(t, leaf.key), "MIG", "AIG", 1), []string{"the private key is damaged"}},
		{"explicit curve, SEC1", cert, testdata(t, "explicit.key"), []string{"line 9: its curve is written out in numbers", "openssl ec -in ", "-param_enc named_curve"}},
		{"explicit curve, PKCS#8", cert, testdata(t, "explicit8.key"), []string{"line 1: its curve is written out in numbers"}},
		{"encrypted, by another name", cert, strings.ReplaceAll(testdata(t, "enc8.key"), "ENCRYPTED ", ""), []string{"encrypted", "openssl pkey -in "}},
		{"SSH, by another name", cert, strings.ReplaceAll(testdata(t, "ssh.key"), "OPENSSH ", ""), []string{"a key of SSH"}},
		{"TPM", cert, "-----BEGIN TSS2 PRIVATE KEY-----\nMIIB8gYG\n-----END TSS2 PRIVATE KEY-----\n", []string{"lies in a TPM"}},
		{"unknown", cert, "-----BEGIN MESH-----\nAAAA\n-----END MESH-----\n", []string{"a block MESH"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := open(t, c.cert, c.key, "")
			checkError(t, err, "key file ", c.want...)
			if err != nil && strings.Contains(err.Error(), "do not belong together") {
				t.Errorf("the pair is blamed for the key: %v", err)
			}
		})
	}
}

func TestCertificatesThatCannotBeUsedAreNamed(t *testing.T) {
	key := keyPEM(t, newECKey(t))
	for name, want := range map[string]string{"ed448.pem": "Ed448", "pss.pem": "RSA-PSS", "k1.pem": "secp256k1"} {
		_, _, err := open(t, testdata(t, name), key, "")
		checkError(t, err, "certificate file ", "certificate 1 (line 1): its key is of ", want, "openssl genpkey")
		// Nobody can make another key for an authority.
		leaf := pemOf(issue(t, issuer{}, server(), newECKey(t)))
		_, _, err = open(t, leaf+testdata(t, name), key, "")
		checkError(t, err, "certificate file ", "certificate 2 (line ", want, "take it out")
	}
	_, _, err := open(t, testdata(t, "explicit.pem"), key, "")
	checkError(t, err, "certificate file ", "certificate 1 (line 1): its curve is written out in numbers", "openssl genpkey")
	_, _, err = open(t, key, key, "")
	checkError(t, err, "certificate file ", "line 1: it is a private key and has no certificate with it", "swapped")
	_, _, err = open(t, testdata(t, "request.csr"), key, "")
	checkError(t, err, "certificate file ", "a certificate request: the certificate is what the authority makes of it")
}

func TestKeysOfAllForms(t *testing.T) {
	ec, p521 := newECKey(t), must2(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	rsaKey := must2(rsa.GenerateKey(rand.Reader, 2048))
	sec1 := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(ec.(*ecdsa.PrivateKey)))}))
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaKey)
	for _, c := range []struct {
		name string
		key  crypto.Signer
		text string
	}{
		{"SEC1", ec, sec1},
		{"SEC1 behind its parameters", ec, testdata(t, "ecparams.key") + sec1},
		{"PKCS#8, P-521", p521, keyPEM(t, p521)},
		{"PKCS#1", rsaKey, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: pkcs1}))},
		{"PKCS#1 by another name", rsaKey, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs1}))},
		{"second of two", ec, keyPEM(t, p521) + keyPEM(t, ec)},
		{"behind one that is encrypted", ec, testdata(t, "enc8.key") + keyPEM(t, ec)},
		{"behind a certificate", ec, pemOf(newPKI(t, "x").root) + keyPEM(t, ec)},
	} {
		t.Run(c.name, func(t *testing.T) {
			cert := pemOf(issue(t, issuer{}, server(), c.key))
			if _, log, err := open(t, cert, c.text, "relay.example"); err != nil || log.String() != "" {
				t.Errorf("%v %s", err, log)
			}
		})
	}
}

func TestWeakAndOddKeysAreWarnedOf(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, c := range map[string]struct {
		key  crypto.Signer
		want string
	}{
		"RSA-1024": {must2(rsa.GenerateKey(rand.Reader, 1024)), "RSA of 1024 bits is too short"},
		"Ed25519":  {ed, "browsers"},
		"P-224":    {must2(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)), "TLS 1.3 has no curve P-224"},
	} {
		cert := pemOf(issue(t, issuer{}, server(), c.key))
		_, log, err := open(t, cert, keyPEM(t, c.key), "relay.example")
		if err != nil || log.Lines("WARN", "c.pem", c.want) != 1 || log.Lines() != 1 {
			t.Errorf("%s: %v %s", name, err, log)
		}
	}
}

// With such keys a relay would start, and no handshake succeed.
func TestKeysTooShortForTLSAreRefused(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	key := must2(rsa.GenerateKey(rand.Reader, 768))
	_, _, err := open(t, pemOf(issue(t, issuer{}, server(), key)), keyPEM(t, key), "")
	checkError(t, err, "key file ", "RSA of 768 bits is too short for TLS", "openssl genpkey")
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
