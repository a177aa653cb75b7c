package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/detour-relay/detour/internal/hostname"
)

// ParseHost checks and normalises the name or IP address peers reach a relay
// by, as it stands in the HostName of a DERP map.
func ParseHost(host string) (string, error) {
	name, err := hostname.Parse(host)
	wrong, isWrong := errors.AsType[*hostname.Error](err)
	switch {
	case !isWrong:
		return name, err
	case wrong.Kind == hostname.Zone || wrong.Kind == hostname.Nowhere:
		return "", fmt.Errorf("host %q: no peer can use this address: give a public name or address", host)
	case wrong.Kind == hostname.Port:
		wrong.Remedy += ", without scheme, port and path; the port belongs to the address to listen on"
	case wrong.Kind == hostname.Scheme || wrong.Kind == hostname.Path:
		wrong.Remedy += ", without scheme, port and path"
	}
	return "", fmt.Errorf("host %q: not a DNS name or IP address: it %s: %s", host, wrong.What, wrong.Remedy)
}

// makeSelf returns a self-signed certificate for host and its key as one PEM
// text. It must verify as a leaf when it is the only certificate peers get
// (spec 7.4).
func makeSelf(host string, now time.Time) ([]byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		// A nil serial number makes x509 draw a random one.
		NotBefore:             now.Add(-selfSkew),
		NotAfter:              now.Add(selfLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if len(host) <= 64 { // the longest common name X.509 allows
		template.Subject = pkix.Name{CommonName: host}
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = errors.Join(
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return text.Bytes(), err
}
