package certs

import (
	"crypto/x509"
	"fmt"

	"github.com/detour-relay/detour/internal/smallfile"
)

const (
	mostPair  = 1 << 20 // bytes of a certificate or key file
	mostRoots = 8 << 20 // of a bundle; that of all public authorities has a quarter of one
)

// ReadRoots returns the certificates of a PEM file of authorities. All of them: what
// looks like one and cannot be read is an error that says where. Errors name the path,
// not the setting that it came from.
func ReadRoots(path string) (*x509.CertPool, error) {
	data, err := smallfile.Read(path, mostRoots)
	if err != nil {
		return nil, err // names the path already
	}
	chain, err := readChain(path, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	roots := x509.NewCertPool()
	for _, cert := range chain {
		roots.AddCert(cert)
	}
	return roots, nil
}

// RootsWith returns the authorities of the system, and some certificates that are
// trusted as they are.
func RootsWith(trusted ...*x509.Certificate) *x509.CertPool {
	roots, err := x509.SystemCertPool()
	if err != nil { // this machine has none
		roots = x509.NewCertPool()
	}
	for _, cert := range trusted {
		roots.AddCert(cert)
	}
	return roots
}
