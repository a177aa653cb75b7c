package probe

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
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
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := template(func(c *x509.Certificate) {
		c.Subject.CommonName = "Test Authority"
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		c.NotAfter = time.Now().Add(365 * day)
	})
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := must(x509.CreateCertificate(rand.Reader, template, template, private.Public(), private))(t)
	return &authority{must(x509.ParseCertificate(der))(t), private}
}

func template(change func(*x509.Certificate)) *x509.Certificate {
	c := &x509.Certificate{
		NotBefore: time.Now().Add(-day), NotAfter: time.Now().Add(30*day + time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(c)
	return c
}

// issue makes a certificate for the host of the tests, changed.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) *tls.Certificate {
	t.Helper()
	c := template(func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{hostName}, []net.IP{net.IPv4(127, 0, 0, 1)}
		c.Subject.CommonName = "a relay"
		change(c)
	})
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := must(x509.CreateCertificate(rand.Reader, c, a.cert, private.Public(), a.key))(t)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: must(x509.ParseCertificate(der))(t)}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func asIs(*x509.Certificate) {}

// goodCert is one that can be pinned.
func goodCert(t *testing.T) *tls.Certificate { return newAuthority(t).issue(t, asIs) }

// metaCert makes a meta certificate.
func metaCert(t *testing.T, relay key.Public, change func(*x509.Certificate)) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := template(func(c *x509.Certificate) {
		c.SerialNumber, c.Subject = big.NewInt(derp.ProtocolVersion), pkix.Name{CommonName: derp.MetaCertName(relay)}
		c.ExtKeyUsage = nil
		change(c)
	})
	return must(x509.CreateCertificate(rand.Reader, c, c, public, private))(t)
}

// with returns cert with more certificates behind it.
func with(cert *tls.Certificate, more ...[]byte) *tls.Certificate {
	longer := *cert
	longer.Certificate = append(append([][]byte{}, cert.Certificate...), more...)
	return &longer
}

func pinText(cert *tls.Certificate) string { return pin.Of(cert.Leaf).String() }

func silent() *log.Logger { return log.New(io.Discard, "", 0) }
