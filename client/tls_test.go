package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

func TestCertificates(t *testing.T) {
	const host = "relay.example.com"
	a, other, private := newAuthority(t), newAuthority(t), key.NewPrivate()
	meta := metaCert(t, private.Public(), 2)
	good := a.issue(host)
	alone := other.issue(host) // of an authority nobody knows, for pins
	expired := other.issueFrom(func(c *x509.Certificate) {
		c.DNSNames, c.NotBefore, c.NotAfter = []string{host}, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	future := other.issueFrom(func(c *x509.Certificate) {
		c.DNSNames, c.NotBefore, c.NotAfter = []string{host}, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	})
	middle := a.intermediate()
	attacker := newAuthority(t).issueFrom(func(c *x509.Certificate) { c.Subject.CommonName = "derpkey of an attacker" })

	pin := func(cert tls.Certificate) func(*Config) {
		return func(cfg *Config) { cfg.CertName = pinOf(cert) }
	}
	name := func(name string) func(*Config) { return func(cfg *Config) { cfg.CertName = name } }
	asIs := func(*Config) {}
	for label, c := range map[string]struct {
		host   string
		cert   tls.Certificate
		change func(*Config)
		err    error
	}{
		"good":                       {host, good, asIs, nil},
		"good, with meta":            {host, with(good, meta), asIs, nil},
		"by an intermediate":         {host, with(middle.issue(host), middle.cert.Raw, meta), asIs, nil},
		"intermediate missing":       {host, middle.issue(host), asIs, ErrCertificate},
		"unknown authority":          {host, alone, asIs, ErrCertificate},
		"other name":                 {"other.example.com", good, asIs, ErrCertificate},
		"expired":                    {host, a.issueFrom(func(c *x509.Certificate) { c.DNSNames, c.NotAfter = []string{host}, time.Now().Add(-time.Minute) }), asIs, ErrCertificate},
		"for clients":                {host, a.issueFrom(func(c *x509.Certificate) { c.DNSNames, c.ExtKeyUsage = []string{host}, clientAuth }), asIs, ErrCertificate},
		"IPv4":                       {"192.0.2.1", a.issue("192.0.2.1"), asIs, nil},
		"IPv6":                       {"[2001:db8::1]", a.issue("2001:db8::1"), asIs, nil},
		"other IP":                   {"192.0.2.2", a.issue("192.0.2.1"), asIs, ErrCertificate},
		"name for IP":                {"192.0.2.1", good, asIs, ErrCertificate},
		"other CertName":             {host, a.issue("front.example.com"), name("front.example.com"), nil},
		"other CertName, wrong":      {host, good, name("front.example.com"), ErrCertificate},
		"other CertName, untrusted":  {host, other.issue("front.example.com"), name("front.example.com"), ErrCertificate},
		"CertName is the host":       {host, good, name(host), nil},
		"pinned":                     {host, alone, pin(alone), nil},
		"pinned, with meta":          {host, with(alone, meta), pin(alone), nil},
		"pinned, trusted, another":   {host, good, pin(alone), ErrPinMismatch},
		"pinned, with intermediate":  {host, with(alone, other.cert.Raw), pin(alone), ErrPinMismatch},
		"pinned, expired":            {host, expired, pin(expired), ErrCertificate},
		"pinned, not yet valid":      {host, future, pin(future), ErrCertificate},
		"pinned, other name":         {"other.example.com", alone, pin(alone), ErrCertificate},
		"pinned, IP is no name":      {"192.0.2.1", alone, pin(alone), nil},
		"pinned one only sent along": {host, with(attacker, alone.Certificate...), pin(alone), ErrPinMismatch},
		"unverified":                 {"other.example.com", alone, func(cfg *Config) { cfg.InsecureSkipVerify = true }, nil},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			server := serverTLS(c.cert)
			server.MaxVersion = version
			var sni string
			server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				sni = hello.ServerName
				return nil, nil
			}
			relay := startRelay(t, private, server, func(s *side) {
				if s.admit() {
					s.drain()
				}
			})
			cfg := relay.config(t, "https://"+c.host)
			cfg.RootCAs = a.pool()
			c.change(&cfg)
			conn, err := Dial(t.Context(), cfg)
			if err == nil {
				_, err = conn.Recv(nil)
				if state := conn.TLSState(); state == nil || state.Version != version {
					t.Errorf("%s: TLS state %+v, want version %x", label, state, version)
				}
				conn.Close()
			}
			if !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Errorf("%s, TLS %x: %v, want %v", label, version, err, c.err)
			}
			relay.stop()
			if isName := net.ParseIP(strings.Trim(c.host, "[]")) == nil; isName && sni != c.host || !isName && sni != "" {
				t.Errorf("%s: server name %q sent, host %q", label, sni, c.host)
			}
			if relay.connections() != 1 {
				t.Errorf("%s: %d connections, want 1: certificates do not change from one attempt to the next", label, relay.connections())
			}
		}
	}
}

var clientAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}

func (a *authority) intermediate() *authority {
	a.t.Helper()
	template, k := certTemplate(), newECDSA(a.t)
	template.Subject.CommonName = "Test Intermediate"
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	return &authority{t: a.t, key: k, cert: parse(a.t, create(a.t, template, a.cert, k.Public(), a.key))}
}

func TestCertificateErrorsNameTheCause(t *testing.T) {
	a := newAuthority(t)
	relay := startRelay(t, key.NewPrivate(), serverTLS(a.issue("relay.example.com")), func(s *side) { s.drain() })
	cfg := relay.config(t, "https://other.example.com")
	cfg.RootCAs = a.pool()
	_, err := Dial(t.Context(), cfg)
	var wrongName x509.HostnameError
	if !errors.As(err, &wrongName) || wrongName.Host != "other.example.com" {
		t.Errorf("%v, want an x509.HostnameError", err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	a := newAuthority(t)
	server := serverTLS(a.issue("relay.example.com"))
	server.MinVersion, server.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	relay := startRelay(t, key.NewPrivate(), server, func(s *side) { s.drain() })
	cfg := relay.config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	var alert *net.OpError
	if _, err := Dial(t.Context(), cfg); !errors.As(err, &alert) || alert.Op != "remote error" {
		t.Errorf("%v, want the alert of the relay", err)
	}
}

func TestPlainHasNoTLSState(t *testing.T) {
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) { s.admit(); s.drain() })
	c := admitted(t, relay.config(t, "http://relay.example.com"))
	if c.TLSState() != nil {
		t.Error("there is a TLS state without TLS")
	}
	if c.RemoteAddr().String() != relay.listener.Addr().String() || c.LocalAddr().String() == c.RemoteAddr().String() {
		t.Errorf("addresses %v and %v", c.LocalAddr(), c.RemoteAddr())
	}
}
