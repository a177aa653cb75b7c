package coordnats

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"
)

const (
	routeName  = "coordinator.detour.internal" // in each certificate; who has the secret is a coordinator
	leafLife   = 7 * 24 * time.Hour
	leafBefore = 3 * 24 * time.Hour // so wrong may the clocks of two coordinators be
	leafRenew  = 24 * time.Hour
)

// An authority issues a coordinator's certificates for its routes. All who have the
// same secret have the same authority, so that no file has to be carried around; a
// certificate lives for days and is made anew each day, while routes stand.
type authority struct {
	name   string // the coordinator's, for those who look at its certificate
	issuer *x509.Certificate
	signer crypto.Signer
	all    *x509.CertPool

	mu     sync.Mutex
	leaf   *tls.Certificate // guarded by mu
	issued time.Time        // guarded by mu
}

func newAuthority(name string, secrets [][]byte) (*authority, error) {
	a := &authority{name: name, all: x509.NewCertPool()}
	for i, secret := range secrets {
		issuer, signer, err := derive(secret)
		if err != nil {
			return nil, err
		}
		a.all.AddCert(issuer)
		if i == 0 {
			a.issuer, a.signer = issuer, signer
		}
	}
	return a, nil
}

// derive makes the authority of a secret: the same each time, to the byte.
func derive(secret []byte) (*x509.Certificate, crypto.Signer, error) {
	seed, err := hkdf.Key(sha256.New, secret, nil, "detour coordinators: authority of routes, 1", ed25519.SeedSize)
	if err != nil {
		return nil, nil, err
	}
	signer := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "coordinators of one cluster"},
		NotBefore:             time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(nil, template, template, signer.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	issuer, err := x509.ParseCertificate(der)
	return issuer, signer, err
}

// current is the certificate that is shown now.
func (a *authority) current() (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := time.Since(a.issued); a.leaf != nil && age >= 0 && age < leafRenew {
		return a.leaf, nil
	}
	leaf, err := a.issue()
	if err != nil {
		return nil, err
	}
	a.leaf, a.issued = leaf, time.Now()
	return leaf, nil
}

func (a *authority) issue() (*tls.Certificate, error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: a.name},
		DNSNames:     []string{routeName},
		NotBefore:    time.Now().Add(-leafBefore),
		NotAfter:     time.Now().Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.issuer, own.Public(), a.signer)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}, nil
}

// config is for both ends of a route.
func (a *authority) config() *tls.Config {
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		ServerName:           routeName,
		RootCAs:              a.all,
		ClientCAs:            a.all,
		ClientAuth:           tls.RequireAndVerifyClientCert,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.current() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return a.current() },
		// A session that is taken up again would stand on an old certificate.
		SessionTicketsDisabled: true,
	}
}
