package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A pki is a small authority: a root, an intermediate, and what they issue.
type pki struct {
	root, middle issuer
}

type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newPKI(t *testing.T, name string) pki {
	t.Helper()
	root := issue(t, issuer{}, authority(name+" root"), newECKey(t))
	return pki{root, issue(t, root, authority(name), newECKey(t))}
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

// server is the template of a leaf for relay.example, an hour old and good for 90 days.
func server() *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: "relay.example"}, DNSNames: []string{"relay.example"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// issue signs a template; with no issuer it signs itself.
func issue(t *testing.T, by issuer, template *x509.Certificate, key crypto.Signer) issuer {
	t.Helper()
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour)
	}
	if by.cert == nil {
		by = issuer{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{cert, key}
}

func newECKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// pemOf returns certificates as PEM.
func pemOf(certs ...issuer) string {
	text := ""
	for _, c := range certs {
		text += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}))
	}
	return text
}

func keyPEM(t *testing.T, k crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// open writes the texts to files and opens them.
func open(t *testing.T, cert, key, host string) (*Files, *logbook, error) {
	t.Helper()
	dir, log := t.TempDir(), new(logbook)
	config := filesIn(dir, log)
	config.Host = host
	put(t, config.CertFile, []byte(cert))
	put(t, config.KeyFile, []byte(key))
	f, err := OpenFiles(config)
	return f, log, err
}

func newRSAKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) }
