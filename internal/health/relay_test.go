package health_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/edge"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const timeout = time.Minute

const host = "relay.example"

// A site is a relay with all that asks for its health.
type site struct {
	certs.Source
	certificate atomic.Pointer[tls.Certificate]
	relay       *relay.Server
	edge        *edge.Server
	stun        *stun.Responder
	admin       *httptest.Server
	health      *health.Health
	prober      *stun.Prober
	web         http.Client
}

// Certificate and Describe make the site the source of its certificate.
func (s *site) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.certificate.Load(), nil
}
func (s *site) Describe() certs.Description { return certs.Description{} }

func (s *site) show(certificate tls.Certificate) { s.certificate.Store(&certificate) }
func (s *site) leaf() *x509.Certificate          { return s.certificate.Load().Leaf }

func (s *site) login() client.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.leaf())
	return client.Config{URL: "https://" + host, ServerKey: s.relay.PublicKey(), RootCAs: roots}
}

// A certificate that expires takes the relay out of service for all who ask, and
// its renewal puts it back.
func TestExpiredCertificate(t *testing.T) {
	s := startSite(t)
	s.want(t, true, "ready\n")
	s.show(newCertificate(t, time.Now().Add(-time.Minute)))
	s.want(t, false, "self-check failed: ")
	if got := s.health.Snapshot().SelfCheck; got.OK || !strings.Contains(got.Error, "certificate") || got.OutagesTotal != 1 {
		t.Errorf("%+v", got)
	}
	s.show(newCertificate(t, time.Now().Add(time.Hour)))
	s.want(t, true, "ready\n")
	s.health.Drain()
	s.want(t, false, "draining\n")
}

// want waits until all say that the relay wants peers, or that it does not.
func (s *site) want(t *testing.T, wanted bool, ready string) {
	t.Helper()
	status := http.StatusServiceUnavailable
	if wanted {
		status = http.StatusOK
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(5 * time.Millisecond) {
		wrong := ""
		if got, text := s.get(t, s.admin.URL+"/readyz"); got != status || !strings.HasPrefix(text, ready) {
			wrong = text
		}
		if got, _ := s.get(t, "https://"+s.edge.Addr().String()+"/derp/probe"); got != status {
			wrong += "/derp/probe "
		}
		if s.answersSTUN(t, wanted) != wanted {
			wrong += "STUN"
		}
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("wants peers: %v; these do not say so: %s", wanted, wrong)
		}
	}
}

func (s *site) get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := s.web.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// answersSTUN asks once. An answer that is expected may take its time.
func (s *site) answersSTUN(t *testing.T, expected bool) bool {
	t.Helper()
	wait := 50 * time.Millisecond
	if expected {
		wait = time.Second
	}
	_, err := s.prober.Probe(t.Context(), s.stun.Addr(), wait)
	if err != nil && !errors.Is(err, stun.ErrSilent) {
		t.Fatal(err)
	}
	return err == nil
}

// startSite starts a relay with a good certificate, whose self-checks are frequent.
func startSite(t *testing.T) *site {
	t.Helper()
	s := new(site)
	s.show(newCertificate(t, time.Now().Add(time.Hour)))
	secret := key.NewPrivate()
	s.relay = must(relay.New(relay.Config{Key: secret}))(t)
	var current atomic.Pointer[health.Health] // needs the address that the edge gets
	healthy := func() bool { return current.Load().Healthy() }
	s.edge = must(edge.Listen(edge.Config{
		Relay: s.relay, Listen: "127.0.0.1:0", Healthy: healthy,
		TLS: certs.TLSConfig(s, must(certs.NewMeta(secret.Public()))(t)),
	}))(t)
	s.stun = must(stun.Listen(t.Context(), stun.Config{Addr: "127.0.0.1:0", Healthy: healthy}))(t)
	trip := health.RoundTrip{Login: s.login, Addr: s.edge.Addr().String()}
	s.health = must(health.New(health.Config{
		Direct: health.Path{Target: "https://" + host, Check: trip.Check}, Every: 20 * time.Millisecond,
	}))(t)
	current.Store(s.health)
	s.admin = httptest.NewServer(admin.New(admin.Config{Relay: s.relay, Edge: s.edge, Health: s.health}))
	s.prober = must(stun.Dial("udp4"))(t)
	s.web.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	s.run(t)
	return s
}

// run serves until the test ends.
func (s *site) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.edge.Serve(ctx) })
	running.Go(func() { s.stun.Serve(ctx) })
	running.Go(func() { s.health.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		s.prober.Close()
		s.admin.Close()
		end, late := context.WithTimeout(context.Background(), timeout)
		defer late()
		if err := errors.Join(s.relay.Shutdown(end), s.edge.Shutdown(end)); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
}

// newCertificate returns a self-signed one for host.
func newCertificate(t *testing.T, expires time.Time) tls.Certificate {
	t.Helper()
	secret := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		NotBefore: expires.Add(-24 * time.Hour), NotAfter: expires, DNSNames: []string{host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret))(t)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: secret, Leaf: must(x509.ParseCertificate(der))(t)}
}

// must returns the value of a call that may not fail: must(f())(t).
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
