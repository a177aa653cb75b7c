package probe

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// withKey issues a certificate for a key of another kind than usual.
func (a *authority) withKey(t *testing.T, private crypto.Signer) *tls.Certificate {
	t.Helper()
	c := template(func(c *x509.Certificate) { c.DNSNames = []string{hostName} })
	der := must(x509.CreateCertificate(rand.Reader, c, a.cert, private.Public(), a.key))(t)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: must(x509.ParseCertificate(der))(t)}
}

func TestKeysThatOthersRefuse(t *testing.T) {
	ca := newAuthority(t)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	small := must(rsa.GenerateKey(rand.Reader, 1024))(t)
	for _, test := range []struct {
		name   string
		key    crypto.Signer
		pinned bool
		as     Status
		want   string
	}{
		{"RSA-1024", small, false, Warn, "RSA key has 1024 bits"},
		{"RSA-1024, pinned", small, true, Warn, "RSA key has 1024 bits"},
		{"RSA-2048", must(rsa.GenerateKey(rand.Reader, 2048))(t), false, OK, "verified"},
		{"Ed25519", edKey, false, Warn, "Ed25519, which browsers refuse"},
		{"Ed25519, pinned", edKey, true, OK, "pinned"},
		{"P-224", must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))(t), false, Warn, "P-224"},
		{"P-384", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t), false, OK, "verified"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cert := ca.withKey(t, test.key)
			if what, remedy := weakness(cert.Leaf, test.pinned); (what == "") != (test.as == OK) || (what == "") != (remedy == "") {
				t.Errorf("%q, %q; want %s", what, remedy, test.as)
			}
			if test.key == crypto.Signer(small) || test.name == "P-224" {
				return // this program's own TLS takes none, or needs to be asked
			}
			n := mapNode("900a", serve(t, cert, newScript()), nil)
			if test.pinned {
				n.CertName = pinText(cert)
			}
			want(t, checkedNode(t, Config{Dial: trusting(ca.pool())}, n), "tls", test.as, test.want, "")
		})
	}
}

// A certificate of an issuer that nobody trusts is no matter of missing intermediates,
// and one that stands for a missing one none of its names.
func TestCertificatesOfIssuersThatNobodyTrusts(t *testing.T) {
	other := func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"ingress.local"}, nil }
	for _, test := range []struct {
		issuer       pkix.Name
		change       func(*x509.Certificate)
		want, remedy string
	}{
		{pkix.Name{Organization: []string{"CloudFlare, Inc."}, OrganizationalUnit: []string{"CloudFlare Origin SSL Certificate Authority"}}, asIs,
			"only Cloudflare's proxies trust", "^take a certificate of Let's Encrypt, or pin this one: sha256-raw:"},
		{pkix.Name{CommonName: "(STAGING) Pretend Pear X1"}, asIs, "staging environment, which nobody trusts", "production environment$"},
		{pkix.Name{CommonName: "mkcert me@host"}, asIs, "mkcert -install", "Let's Encrypt; or give its root.*mkcert -CAROOT.*, or pin this one"},
		{pkix.Name{CommonName: "Caddy Local Authority - ECC Intermediate"}, asIs, "Caddy was told", "public certificate; or give its root"},
		{pkix.Name{CommonName: "Kubernetes Ingress Controller Fake Certificate"}, other, "stands for a missing one", "^see that the controller has yours$"},
		{pkix.Name{CommonName: "TRAEFIK DEFAULT CERT"}, other, "stands for a missing one", "^see that Traefik has yours$"},
	} {
		ca := newAuthority(t)
		template := template(func(c *x509.Certificate) {
			c.Subject = test.issuer
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		})
		der := must(x509.CreateCertificate(rand.Reader, template, template, ca.key.Public(), ca.key))(t)
		ca.cert = must(x509.ParseCertificate(der))(t)
		dial := urlOf("https", serve(t, ca.issue(t, test.change), newScript()))
		checks := checked(t, Config{Dial: dial}).Regions[0].Nodes[0].Checks
		want(t, checks, "tls", Fail, test.want, test.remedy)
	}
}

// What is lost for its size is not the relay's fault before the path's.
func TestLargePacketsAreLost(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1200, 9000} {
		s := newScript()
		s.packet = func(src, _ key.Public, data []byte) (key.Public, []byte) {
			if len(data) > limit {
				return src, nil
			}
			return src, data
		}
		checks := startScript(t, s)(Config{Timeout: 2 * brief})
		want(t, checks, "packet", OK, "there and back", "")
		want(t, checks, "large", Fail, "65536 bytes is lost, though one of 64 bytes comes through", "the path loses large packets .MTU.")
	}
}

func TestARelayThatRefusesApplicationNames(t *testing.T) {
	for _, test := range []struct {
		name    string
		refused func(string) bool
		as      Status
		want    string
	}{
		{"ours", func(name string) bool { return name == appName }, Warn, `not with the application name "detour check"`},
		{"all", func(name string) bool { return name != "" }, Warn, `not with the application name`},
		{"others", func(name string) bool { return name == "tailcat" }, OK, "admitted in"},
		{"none, and nobody", func(string) bool { return true }, Fail, "does not admit us"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScript()
			s.admitAs = func(info derp.ClientInfo) bool { return !test.refused(info.AppName) }
			checks := startScript(t, s)(Config{})
			want(t, checks, "login", test.as, test.want, "")
			if test.as != Fail {
				want(t, checks, "packet", OK, "there and back", "")
				want(t, checks, "websocket", OK, "logged in", "")
			}
		})
	}
}

// A connection that is cut while it is idle is found by holding one.
func TestHold(t *testing.T) {
	t.Parallel()
	cert := goodCert(t)
	for _, test := range []struct {
		name string
		hold time.Duration
		cut  time.Duration // long enough for the other checks
		as   Status
		want string
	}{
		{"held", 300 * time.Millisecond, time.Hour, OK, "held for 300ms, in which 0 KeepAlives came"},
		{"cut", timeout / 2, brief, Fail, `an idle connection is cut after \d\.\d s`},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := serve(t, cert, newScript())
			port := serveConns(t, func(conn net.Conn) { cutWhenIdle(conn, relay, test.cut) })
			checks := checkedNode(t, Config{Hold: test.hold}, mapNode("900a", port, cert))
			remedy := ""
			if test.as == Fail {
				remedy = "proxy_read_timeout.*timeout tunnel"
			}
			want(t, checks, "hold", test.as, test.want, remedy)
		})
	}
}

// cutWhenIdle is a proxy that passes on what comes from both sides until nothing
// has come for so long.
func cutWhenIdle(conn net.Conn, port int, cut time.Duration) {
	relay, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", text(port)))
	if err != nil {
		return
	}
	idle := time.AfterFunc(cut, func() {
		conn.Close()
		relay.Close()
	})
	defer idle.Stop()
	pass := func(to, from net.Conn) {
		defer to.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			idle.Reset(cut)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(relay, conn)
	}()
	pass(conn, relay)
	<-done
}
