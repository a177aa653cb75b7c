package programs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Host is where all relays are, and Name is what the system calls it.
const (
	Host = "127.0.0.1"
	Name = "localhost"
)

// validity of certificates. A prober warns of those that end within a week.
const validity = 30 * 24 * time.Hour

// Relays that share a certificate find it under these names, which are those that derper looks for.
const (
	CertFile = Host + ".crt"
	KeyFile  = Host + ".key"
)

// WriteCertificate puts a self-signed certificate for Host and its key into dir.
func WriteCertificate(dir string) error { return (*Authority)(nil).issue(dir) }

// Authority signs certificates of relays, for both Host and Name. A nil one lets each sign itself.
type Authority struct {
	File string // its own certificate, as PEM

	certificate *x509.Certificate
	secret      *ecdsa.PrivateKey
}

// NewAuthority makes one that is known to whoever reads its file, until the test ends.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{File: filepath.Join(t.TempDir(), "authority.crt"), secret: secret}
	a.certificate = &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "interop test authority"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validity),
		KeyUsage:     x509.KeyUsageCertSign,
		IsCA:         true,

		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, &secret.PublicKey, secret)
	if err == nil {
		err = writePEM(a.File, "CERTIFICATE", der)
	}
	if err == nil {
		a.certificate, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// issue puts a certificate and its key into dir.
func (a *Authority) issue(dir string) error {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: Host},
		IPAddresses:  []net.IP{net.ParseIP(Host)},
		DNSNames:     []string{Name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},

		BasicConstraintsValid: true,
	}
	issuer, signer := template, secret
	if a != nil {
		issuer, signer = a.certificate, a.secret
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &secret.PublicKey, signer)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, CertFile), "CERTIFICATE", der); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, KeyFile), "PRIVATE KEY", keyDER)
}

func readCertificate(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
