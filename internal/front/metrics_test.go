package front

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
)

func TestWhoMayAskForMetricsIsSaid(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*config.Config)
		setting string // empty: it is fine
		want    string
	}{
		"off":                   {func(c *config.Config) { c.Metrics = "" }, "", ""},
		"loopback":              {func(c *config.Config) {}, "", ""},
		"loopback with a token": {func(c *config.Config) { c.MetricsToken = "t" }, "", ""},
		"by name":               {func(c *config.Config) { c.Metrics = "localhost:9342" }, "", ""},
		"IPv6":                  {func(c *config.Config) { c.Metrics = "[::1]:9342" }, "", ""},
		"everywhere":            {func(c *config.Config) { c.Metrics = ":9342" }, "metrics", "say who may ask: {metrics-token}"},
		"a private address":     {func(c *config.Config) { c.Metrics = "10.0.0.1:9342" }, "metrics", "say who may ask: {metrics-token}"},
		"with a token":          {func(c *config.Config) { c.Metrics, c.MetricsToken = ":9342", "t" }, "", ""},
		"with an authority":     {func(c *config.Config) { c.Metrics, c.MetricsCA = ":9342", "ca" }, "", ""},
		"with both":             {func(c *config.Config) { c.Metrics, c.MetricsToken, c.MetricsCA = ":9342", "t", "ca" }, "", ""},
		"a token without TLS":   {func(c *config.Config) { c.Metrics, c.MetricsToken, c.TLS.Mode = ":9342", "t", config.TLSOff }, "metrics", "needs TLS, and this relay has none"},
		"loopback without TLS":  {func(c *config.Config) { c.TLS.Mode = config.TLSOff }, "", ""},
		"loopback, authority":   {func(c *config.Config) { c.MetricsCA = "ca" }, "metrics-ca", "is for addresses beyond loopback"},
		"token for nothing":     {func(c *config.Config) { c.Metrics, c.MetricsToken = "", "t" }, "metrics-token", "is for {metrics}, which is off"},
		"authority for nothing": {func(c *config.Config) { c.Metrics, c.MetricsCA = "", "ca" }, "metrics-ca", "is for {metrics}, which is off"},
		"no port":               {func(c *config.Config) { c.Metrics = "127.0.0.1" }, "metrics", "127.0.0.1"},
	} {
		c := config.Config{Metrics: "127.0.0.1:9342"}
		c.TLS.Mode = config.TLSSelf
		test.change(&c)
		err := CheckMetrics(c, "relay")
		if test.setting == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		e, is := err.(*config.Error)
		if !is || e.Setting != test.setting || !strings.Contains(config.Text(err, func(s string) string { return "{" + s + "}" }), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	return authority{sign(t, template, template, key, key), key}
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue signs a certificate for a purpose.
func (a authority) issue(t *testing.T, usage x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage}}
	return tls.Certificate{Certificate: [][]byte{sign(t, template, a.cert, key, a.key).Raw}, PrivateKey: key}
}

// file writes the certificate of the authority.
func (a authority) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tokenFile(t *testing.T, digit string) (path, secret string) {
	t.Helper()
	path, secret = filepath.Join(t.TempDir(), "token"), strings.Repeat("01234567"+digit, 5)
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, secret
}

// serveMetrics answers "numbers" at an address.
func serveMetrics(t *testing.T, c config.Config, secure *tls.Config, next http.HandlerFunc) *Metrics {
	t.Helper()
	m, err := OpenMetrics(MetricsConfig{Settings: c, Secure: secure, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.Handle(next)
	var serving sync.WaitGroup
	serving.Go(m.Serve)
	t.Cleanup(func() { m.Close(); serving.Wait() })
	return m
}

func numbersOf(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "numbers") }

// A scraper asks by TLS.
type scraper struct {
	port string
	root *x509.CertPool
	cert *tls.Certificate
}

func (s scraper) ask(t *testing.T, header ...string) (status int, err error) {
	t.Helper()
	secure := &tls.Config{RootCAs: s.root}
	if s.cert != nil {
		secure.Certificates = []tls.Certificate{*s.cert}
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:"+s.port+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

func beyond(t *testing.T, change func(*config.Config)) (*Metrics, scraper, config.Config) {
	t.Helper()
	server := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(server.cert)
	c := config.Config{Metrics: ":0"}
	change(&c)
	m := serveMetrics(t, c, &tls.Config{Certificates: []tls.Certificate{server.issue(t, x509.ExtKeyUsageServerAuth)}}, numbersOf)
	_, port, _ := net.SplitHostPort(m.Addr())
	return m, scraper{port: port, root: roots}, c
}

func TestMetricsForThoseWithTheToken(t *testing.T) {
	path, secret := tokenFile(t, "8")
	m, s, c := beyond(t, func(c *config.Config) { c.MetricsToken = path })
	expect := func(want int, header ...string) {
		t.Helper()
		if got, err := s.ask(t, header...); got != want {
			t.Errorf("%d, %v; want %d", got, err, want)
		}
	}
	expect(200, "Authorization", "Bearer "+secret)
	expect(401)
	expect(401, "Authorization", "Bearer "+secret[1:])
	expect(401, "Authorization", "Basic "+secret)
	expect(403, "Authorization", "Bearer "+secret, "Origin", "https://evil.example")
	expect(431, "Authorization", "Bearer "+secret, "X-Huge", strings.Repeat("x", 100<<10))
	if got := *m.Scrapes(); got != (Scrapes{Answered: 1, WrongTokens: 3, Strange: 1}) {
		t.Errorf("%+v", got)
	}

	c.MetricsToken, _ = tokenFile(t, "9")
	apply, err := m.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	expect(200, "Authorization", "Bearer "+secret) // nothing has changed yet
	apply()
	expect(401, "Authorization", "Bearer "+secret)
	expect(200, "Authorization", "Bearer "+strings.Repeat("012345679", 5))
	os.WriteFile(c.MetricsToken, []byte("guess\n"), 0o600)
	if _, err := m.Prepare(c); err == nil || !strings.Contains(err.Error(), "the token can be guessed") {
		t.Error(err)
	}
}

func TestMetricsForThoseWithACertificate(t *testing.T) {
	readers, others := newAuthority(t), newAuthority(t)
	m, s, c := beyond(t, func(c *config.Config) { c.MetricsCA = readers.file(t) })
	as := func(cert tls.Certificate) scraper { return scraper{s.port, s.root, &cert} }
	good, strange := as(readers.issue(t, x509.ExtKeyUsageClientAuth)), as(others.issue(t, x509.ExtKeyUsageClientAuth))
	if got, err := good.ask(t); got != 200 {
		t.Errorf("%d, %v", got, err)
	}
	for name, s := range map[string]scraper{"none": s, "of others": strange, "of a server": as(readers.issue(t, x509.ExtKeyUsageServerAuth))} {
		if got, err := s.ask(t); err == nil {
			t.Errorf("%s: %d", name, got)
		}
	}

	// With both, both are asked for.
	path, secret := tokenFile(t, "8")
	c.MetricsToken, c.MetricsCA = path, others.file(t)
	apply, err := m.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	apply()
	if got, err := good.ask(t, "Authorization", "Bearer "+secret); err == nil {
		t.Errorf("the old authority: %d", got)
	}
	if got, err := strange.ask(t); got != 401 {
		t.Errorf("without the token: %d, %v", got, err)
	}
	if got, err := strange.ask(t, "Authorization", "Bearer "+secret); got != 200 {
		t.Errorf("%d, %v", got, err)
	}
	c.MetricsCA = path
	if _, err := m.Prepare(c); err == nil || !strings.HasPrefix(err.Error(), "metrics-ca") {
		t.Error(err)
	}
}

// On this machine it is plain HTTP, and a page in a browser cannot read it.
func TestMetricsOfThisMachine(t *testing.T) {
	m := serveMetrics(t, config.Config{Metrics: "127.0.0.1:0"}, nil, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	for path, want := range map[string]int{"/metrics": 200, "/busy": 503} {
		answer, err := http.Get("http://" + m.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	if got := *m.Scrapes(); got != (Scrapes{Answered: 1, Busy: 1}) {
		t.Errorf("%+v", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

// Whoever has been answered holds no place, so that those who wait come in.
func TestScrapesBeyondThePlacesAreAnswered(t *testing.T) {
	m := serveMetrics(t, config.Config{Metrics: "127.0.0.1:0"}, nil, numbersOf)
	clients := make([]http.Client, 2*mostLooking) // each with a connection of its own, which it would keep
	for i := range clients {
		clients[i].Transport = &http.Transport{}
		defer clients[i].CloseIdleConnections()
		answer, err := clients[i].Get("http://" + m.Addr())
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}
