package explain

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var flags = Words{CA: "--ca", CertName: "--cert-name", Insecure: "--insecure", Proxy: "HTTPS_PROXY in the environment"}

// now is within the dates of testdata's ok.pem, cn.pem and cf.pem.
var now = time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)

func read(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// verify gives the error of a chain, as the client wraps it. The certificate is
// among the roots if trusted.
func verify(cert *x509.Certificate, host string, trusted bool) error {
	roots := x509.NewCertPool()
	if trusted {
		roots.AddCert(cert)
	}
	_, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: now})
	return fmt.Errorf("TLS: %w: %w", client.ErrCertificate, err)
}

func pinned(cert *x509.Certificate, host string) error {
	return fmt.Errorf("TLS: %w: %w", client.ErrCertificate, pin.Of(cert).Verify([]*x509.Certificate{cert}, host, now))
}

func issuedBy(name string) *x509.Certificate {
	return &x509.Certificate{Issuer: pkix.Name{CommonName: name}, RawIssuer: []byte(name), DNSNames: []string{"other.test"}}
}

func unknown(name string) error { return x509.UnknownAuthorityError{Cert: issuedBy(name)} }

// Each error is told by its cause, and nobody is told to give what he gave.
func TestCertificatesAreExplainedByTheirCause(t *testing.T) {
	past, future, cn, cf, good := read(t, "past.pem"), read(t, "future.pem"), read(t, "cn.pem"), read(t, "cf.pem"), read(t, "ok.pem")
	for _, test := range []struct {
		name  string
		err   error
		way   Way
		cause Cause
		want  string // what stands in the remedy
		not   string // what does not
	}{
		{"expired", verify(past, "relay.test", true), Way{}, Clock,
			"ended on 2026-11-28 04:53 UTC, and the clock of this machine says 2026-11-28 06:00 UTC: renew", "--ca"},
		{"expired, with an authority", verify(past, "relay.test", true), Way{CA: true}, Clock, "renew", "--ca"},
		{"expired, pinned", pinned(past, "relay.test"), Way{Pin: true}, Clock, "ended on .*clock.*take its new pin", "issuer"},
		{"not yet", verify(future, "relay.test", true), Way{}, Clock,
			"begins on .* UTC, and the clock of this machine says 2026-11-28 06:00 UTC: correct this clock", "--insecure"},
		{"not yet, pinned", pinned(future, "relay.test"), Way{Pin: true}, Clock, "begins on .*correct this clock", "--cert-name"},
		{"expired map server", verify(past, "relay.test", true), Way{Map: true}, Clock, "renew the certificate", "relay prints"},

		{"common name only", verify(cn, "relay.test", true), Way{}, Certificate, "subjectAltName=DNS:relay.test", "--cert-name"},
		{"common name only, pinned", pinned(cn, "relay.test"), Way{Pin: true}, Certificate,
			"subjectAltName=DNS:relay.test.*pinned certificate, too", "give its pin"},
		{"common name only, an address", verify(cn, "127.0.0.1", true), Way{}, Certificate, "subjectAltName=IP:127.0.0.1", ""},
		{"other name", verify(good, "other.test", true), Way{}, Certificate, "is for relay.test.*: correct the host", "issuer with"},
		{"other name, pinned", pinned(good, "other.test"), Way{Pin: true}, Certificate, "the pinned certificate is for relay.test", "--cert-name"},
		{"other name, named", verify(good, "other.test", true), Way{CertName: true}, Certificate, "correct --cert-name", "give"},
		{"other name, of a node", verify(good, "other.test", true), Way{Node: true}, Certificate, "HostName or CertName", "--cert-name"},
		{"other name, of a map", verify(good, "other.test", true), Way{Map: true}, Certificate, "correct the host", "--cert-name"},

		{"origin certificate", verify(cf, "relay.test", false), Way{}, Certificate,
			"only Cloudflare's proxies trust: take a certificate of Let's Encrypt, or pin this one: sha256-raw:", "fullchain"},
		{"origin certificate, with an authority", verify(cf, "relay.test", false), Way{CA: true}, Certificate, "only Cloudflare", "fullchain"},
		{"staging", unknown("(STAGING) Ersatz Edamame E1"), Way{}, Certificate, "staging environment.*: have it issued by the production", "fullchain"},
		{"mkcert", unknown("mkcert me@host"), Way{}, Certificate, "Let's Encrypt; or give its root with --ca: .*, or pin this one", "fullchain"},
		{"mkcert, with another authority", unknown("mkcert me@host"), Way{CA: true}, Certificate, "Let's Encrypt, or pin this one", "its root"},
		{"mkcert, of a map", unknown("mkcert me@host"), Way{Map: true}, Certificate, "or give its root with --ca: .*prints$", "pin"},
		{"ingress controller", unknown("Kubernetes Ingress Controller Fake Certificate"), Way{}, Certificate, "see that the controller has yours$", "--ca"},
		{"ingress controller, for other names", x509.HostnameError{Certificate: issuedBy("TRAEFIK DEFAULT CERT"), Host: "relay.test"}, Way{}, Certificate,
			"see that Traefik has yours$", "issue"},
		{"self-signed", verify(good, "relay.test", false), Way{}, Certificate,
			"self-signed: if the relay prints the pin sha256-raw:[0-9a-f]{64} at start, give that with --cert-name", "fullchain"},
		{"self-signed, with an authority", verify(good, "relay.test", false), Way{CA: true}, Certificate, "not among --ca: add it there", "give its issuer"},
		{"self-signed, with authority and name", verify(good, "relay.test", false), Way{CA: true, CertName: true}, Certificate, "add it there$", ""},
		{"map server", verify(good, "relay.test", false), Way{Map: true}, Certificate, "name it with --ca, or in SSL_CERT_FILE", "pin"},
		{"another pin", fmt.Errorf("TLS: %w: it is x", client.ErrPinMismatch), Way{Pin: true}, Certificate, "compare --cert-name with the pin", "give"},
		{"pinned, with intermediates", fmt.Errorf("TLS: %w", pin.Of(good).Verify([]*x509.Certificate{good, cf}, "relay.test", now)), Way{Pin: true},
			Certificate, "serve the pinned certificate without intermediates", "compare"},
		{"no roots", x509.SystemRootsError{Err: errors.New("none")}, Way{}, Certificate, "install ca-certificates", ""},
		{"wrong use", x509.CertificateInvalidError{Cert: good, Reason: x509.IncompatibleUsage}, Way{}, Certificate, "serverAuth", "--ca"},
		{"no authority", x509.CertificateInvalidError{Cert: good, Reason: x509.NotAuthorizedToSign}, Way{}, Certificate, "CA:TRUE", "--ca"},
		{"unknown to the client's words", client.ErrCertificate, Way{}, Certificate, "give its issuer with --ca", ""},
	} {
		t.Run(test.name, func(t *testing.T) { compare(t, test.err, test.way, test.cause, test.want, test.not) })
	}
}

func system(op string, code syscall.Errno) error {
	return fmt.Errorf("connect to relay: %w", &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError("connect", code)})
}

// at gives the error of a node of a map that leads nowhere.
func at(n derpmap.Node) error {
	_, err := client.Dial(context.Background(), client.Config{Key: key.NewPrivate()}.AtNode(&n))
	return err
}

func TestConnectionsAreExplainedByTheirCause(t *testing.T) {
	refusal := func(code int) error { return fmt.Errorf("connect to relay: %w", &client.StatusError{Code: code}) }
	proxy := func(code int) error { return fmt.Errorf("proxy p: %w", &client.StatusError{Code: code, Proxy: true}) }
	via := func(err error) error {
		return fmt.Errorf("connect to relay: %w", &client.ProxyError{Proxy: "proxy.test:3128", Err: err})
	}
	dns := func(notFound bool) error { return &net.DNSError{Err: "x", Name: "relay.test", IsNotFound: notFound} }
	header := func(begin string) error {
		e := tls.RecordHeaderError{Msg: "x"}
		copy(e.RecordHeader[:], begin)
		return fmt.Errorf("TLS: %w", e)
	}
	other := func(begin string) error {
		return fmt.Errorf("connect to relay: %w", &client.NotHTTPError{Begin: []byte(begin)})
	}
	alert := fmt.Errorf("TLS: %w", &net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")})
	for _, test := range []struct {
		name  string
		err   error
		way   Way
		cause Cause
		want  string
		not   string
	}{
		{"no name", dns(true), Way{}, NoName, "is the host name right", "running"},
		{"no DNS", dns(false), Way{}, NoDNS, "DNS of this machine", "host name right"},
		{"refused", system("dial", syscall.ECONNREFUSED), Way{}, Refused, "is the relay running", "proxy"},
		{"refused map", system("dial", syscall.ECONNREFUSED), Way{Map: true}, Refused, "nothing listens there: is the port right", "relay"},
		{"no route", system("dial", syscall.ENETUNREACH), Way{}, NoRoute, "online", "relay running"},
		{"no machine", system("dial", syscall.EHOSTUNREACH), Way{}, NoRoute, "no machine answers", "online"},
		{"descriptors", system("dial", syscall.EMFILE), Way{}, Local, "ulimit -n", ""},
		{"forbidden here", system("dial", syscall.EPERM), Way{}, Local, "firewall", "relay"},
		{"ports used up", system("dial", syscall.EADDRNOTAVAIL), Way{}, Local, "ip_local_port_range", "relay"},
		{"reset", system("read", syscall.ECONNRESET), Way{}, Cut, "URL of a relay", "proxy"},
		{"silent", context.DeadlineExceeded, Way{}, Silent, "firewall", "URL of"},
		{"end", io.EOF, Way{}, Cut, "URL of a relay, path included", ""},
		{"end of a map", io.ErrUnexpectedEOF, Way{Map: true}, Cut, "URL of a map", "relay"},
		{"a node without a name", at(derpmap.Node{IPv4: "127.0.0.1"}), Way{Node: true}, Node, "no HostName to verify.*: add one, or pin", "online"},
		{"a node with a port in its name", at(derpmap.Node{HostName: "r.test:443", IPv4: "127.0.0.1"}), Way{Node: true}, Node,
			"HostName .r.test:443. has a port: write r.test", "online"},
		{"a node without anything", at(derpmap.Node{}), Way{Node: true}, Node, "neither a HostName nor an address", "online"},
		{"bad port", &net.AddrError{Err: "invalid port", Addr: "70000"}, Way{}, NoPort, "70000", ""},

		{"HTTP for TLS", header("HTTP/"), Way{}, NotTLS, "speaks plain HTTP, not TLS: write http://", ""},
		{"SSH for TLS", header("SSH-2"), Way{}, NotTLS, "speaks SSH", ""},
		{"mail for TLS", header("220 m"), Way{Node: true}, NotTLS, "SMTP.*correct the node's port", "http://"},
		{"noise for TLS", header("\x00\x01\x02\x03\x04"), Way{}, NotTLS, "does not speak TLS", ""},
		{"alert", alert, Way{Host: "relay.test"}, TLSRefused, "the relay refuses the handshake: give it a certificate for relay.test", ""},

		{"asks for a certificate", fmt.Errorf("%w; WebSocket: %w", system("write", syscall.ECONNRESET),
			&net.OpError{Op: "remote error", Err: tls.AlertError(116)}), Way{}, TLSRefused, "asks for a certificate of ours.*ask nobody", "URL of"},

		{"SSH", other("SSH-2.0-OpenSSH_9.2p1\r\n"), Way{Plain: true}, NotHTTP, "speaks SSH, not HTTP/1.1: correct the port", "path"},
		{"SSH at a node", other("SSH-2.0-x"), Way{Node: true}, NotHTTP, "speaks SSH.*correct the node's port", "URL"},
		{"mail", other("220 mail.example.com ESMTP\r\n"), Way{}, NotHTTP, "SMTP", "path"},
		{"Redis", other("-ERR unknown command\r\n"), Way{}, NotHTTP, "Redis", "path"},
		{"HTTP/2 only", other("\x00\x00\x12\x04\x00\x00\x00\x00\x00"), Way{}, NotHTTP, "speaks HTTP/2.*offer HTTP/1.1", "correct the port"},
		{"a page of HTTP/0.9", other("<html>"), Way{}, NotHTTP, "HTTP/0.9", "path"},
		{"TLS in plain HTTP", other("\x15\x03\x01\x00\x02\x02\x46"), Way{Plain: true}, NotHTTP, "speaks TLS.*write https://", "port"},
		{"a database", other("J\x00\x00\x00\x0a8.0.36"), Way{}, NotHTTP, "does not speak HTTP/1.1: correct the port", "path"},
		{"a map that is none", other("SSH-2.0-x"), Way{Map: true}, NotHTTP, "URL of a map", "relay"},

		{"proxy wants a password", proxy(407), Way{Host: "relay.test"}, Proxy, "another user or password: see HTTPS_PROXY.*NO_PROXY", "relay running"},
		{"proxy forbids", proxy(403), Way{Host: "relay.test"}, Proxy, "allow CONNECT", "refuses us"},
		{"proxy without a way", proxy(502), Way{Host: "relay.test"}, Proxy, "the proxy finds no way", "relay is running"},
		{"proxy without a reason", proxy(418), Way{Host: "relay.test"}, Proxy, "HTTPS_PROXY", "URL of a relay"},

		{"no proxy there", via(system("dial", syscall.ECONNREFUSED)), Way{Host: "relay.test"}, Proxy,
			"nothing listens at the proxy's address: see HTTPS_PROXY.*relay.test in NO_PROXY", "relay running"},
		{"no such proxy", via(dns(true)), Way{}, Proxy, "the DNS knows no such proxy: see HTTPS_PROXY", "host name right"},
		{"proxy is silent", via(context.DeadlineExceeded), Way{}, Proxy, "the proxy does not answer: see", "relay"},
		{"proxy hangs up", via(io.ErrUnexpectedEOF), Way{}, Proxy, "the proxy closes the connection: see", "URL of"},
		{"proxy's certificate", via(client.ErrCertificate), Way{}, Proxy, "the proxy's certificate is not accepted", "--cert-name"},
		{"proxy without TLS", via(header("HTTP/")), Way{}, Proxy, "write http:// for it: see HTTPS_PROXY", "check the port"},
		{"malformed proxy", &client.ProxyError{Err: errors.New("x")}, Way{}, Proxy, "correct HTTPS_PROXY", "relay"},

		{"redirect", &client.StatusError{Code: 302, Redirect: "http://portal.example"}, Way{}, Status, "leave the network that redirects", ""},
		{"redirect to TLS", &client.StatusError{Code: 301, Redirect: "https://relay.test/derp"}, Way{Host: "relay.test", Plain: true},
			Status, "write https://", "leave the network"},
		{"redirect to TLS elsewhere", &client.StatusError{Code: 301, Redirect: "https://portal.test/"}, Way{Host: "relay.test", Plain: true},
			Status, "leave the network", "write https"},
		{"redirect in a circle", &client.StatusError{Code: 301, Redirect: "https://relay.test/derp"}, Way{Host: "relay.test"},
			Status, "leave the network", "write https"},
		{"no upgrade", refusal(426), Way{}, Status, "pass the Upgrade and Connection headers on", "is this the URL"},
		{"upgrade refused", refusal(403), Way{}, Status, "let everybody through", ""},
		{"TLS port in plain HTTP", refusal(400), Way{Plain: true}, Status, "write https://", ""},
		{"bad request over TLS", refusal(400), Way{}, Status, "pass the Upgrade", "https://"},
		{"a page", refusal(200), Way{}, Status, "path included", "Upgrade"},
		{"nothing there", refusal(404), Way{}, Status, "path included", "Upgrade"},
		{"behind a proxy that is alone", refusal(502), Way{}, Status, "does not reach it: is the relay running", "path"},
		{"busy", refusal(503), Way{}, Status, "try again", "path"},

		{"not admitted", client.ErrAdmissionRefused, Way{}, Admission, "only peers it knows", ""},
		{"no DERP", client.ErrProtocol, Way{}, NotDERP, "path included", ""},
		{"odd", errors.New("odd"), Way{}, Unknown, "^$", ""},
		{"interrupted", context.Canceled, Way{}, Unknown, "^$", ""},
	} {
		t.Run(test.name, func(t *testing.T) { compare(t, test.err, test.way, test.cause, test.want, test.not) })
	}
}

// Where nobody says how the settings are spelt, no flag is named.
func TestSettingsAreToldInWords(t *testing.T) {
	for _, err := range []error{
		client.ErrPinMismatch, client.ErrCertificate, verify(read(t, "ok.pem"), "relay.test", false), verify(read(t, "cf.pem"), "relay.test", false),
		&client.StatusError{Code: 407, Proxy: true}, x509.SystemRootsError{},
	} {
		if f := Explain(err, Way{Now: now}); f.Remedy == "" || strings.Contains(f.Remedy, "--") {
			t.Errorf("%v: %q", err, f.Remedy)
		}
	}
}
