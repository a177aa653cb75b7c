package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/key"
)

// authority issues certificates for one test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, key: newECDSA(t)}
	template := certTemplate()
	template.Subject.CommonName = "Test Authority"
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.cert = parse(t, create(t, template, template, a.key.Public(), a.key))
	return a
}

func newECDSA(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func certTemplate() *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
}

func create(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate for names and addresses.
func (a *authority) issue(names ...string) tls.Certificate {
	return a.issueFrom(func(template *x509.Certificate) {
		for _, name := range names {
			if ip := net.ParseIP(name); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, name)
			}
		}
	})
}

func (a *authority) issueFrom(change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	template, leaf := certTemplate(), newECDSA(a.t)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	change(template)
	return tls.Certificate{Certificate: [][]byte{create(a.t, template, a.cert, leaf.Public(), a.key)}, PrivateKey: leaf}
}

// metaCert makes the certificate in which a relay shows its key.
func metaCert(t testing.TB, relay key.Public, serial int64) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := certTemplate()
	template.SerialNumber = big.NewInt(serial)
	template.Subject = pkix.Name{CommonName: derp.MetaCertName(relay)}
	template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0}}}
	return create(t, template, template, public, private)
}

// with returns cert with more certificates behind it.
func with(cert tls.Certificate, more ...[]byte) tls.Certificate {
	cert.Certificate = append(cert.Certificate[:len(cert.Certificate):len(cert.Certificate)], more...)
	return cert
}

func pinOf(cert tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	return pin.Prefix + hex.EncodeToString(sum[:])
}

func serverTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}
