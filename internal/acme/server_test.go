package acme_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/acme"
	"github.com/detour-relay/detour/internal/acme/acmetest"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/key"
)

func within(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about: %s", what)
		}
	}
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := front.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l, int(netip.MustParseAddrPort(l.Addr().String()).Port())
}

// get asks an operator's address.
func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	answer, err := http.Get(url)
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

// forAll runs something until the test ends.
func forAll(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
}

// ofAuthority are the settings of a server that asks one for its certificate.
func ofAuthority(t *testing.T, a *acmetest.Authority, listener net.Listener) config.Config {
	c := config.Defaults()
	c.Listen, c.Hostname, c.STUN, c.StateDir, c.Drain = listener.Addr().String(), "127.0.0.1", config.STUNOff, t.TempDir(), 0
	c.AdminSocket, c.Admin = config.AdminSocketOff, "127.0.0.1:0"
	c.TLS.Mode, c.ACME.Directory, c.ACME.CA = config.TLSACME, a.Directory, a.CA
	c.Access.Everyone = true
	return c
}

// A relay without a certificate is not ready and says why. With one that its authority
// has issued it passes its own check, and peers come in that trust the authority.
func TestRelay(t *testing.T) {
	listener, port := listen(t)
	a := acmetest.Start(t, acmetest.Options{TLSPort: port})
	refuse := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "not yours", "status": 403}`)
		}
		return r.Method == http.MethodPost
	}
	a.Answer(refuse)
	settings := ofAuthority(t, a, listener)
	stored := func() certs.Description {
		d, err := acme.Stored(settings, filepath.Join(settings.StateDir, "acme"))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := stored(); d.Missing == "" || d.Failed != "" {
		t.Errorf("before all: %+v", d)
	}
	d, err := daemon.Open(settings, daemon.Options{Listener: listener, Issue: acme.FromSettings, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if now := d.State(); !strings.HasPrefix(now.URL, "https://127.0.0.1:") || now.Certificate == nil || now.Certificate.Missing == "" {
		t.Errorf("%s, %+v", now.URL, now.Certificate)
	}
	forAll(t, d.Run)
	ops := "http://" + d.State().Admin
	within(t, "why it is not ready", func() bool {
		status, text := get(t, ops+"/readyz")
		return status == http.StatusServiceUnavailable && strings.HasPrefix(text, "no certificate: none for 127.0.0.1 yet: ") && strings.Contains(text, "not yours")
	})

	within(t, "what others are told of it", func() bool { return strings.Contains(stored().Failed, "not yours") })

	a.Answer(nil)
	if _, err := d.ReloadNow(); err != nil { // or it would wait for minutes
		t.Fatal(err)
	}
	within(t, "a relay that is ready", func() bool {
		status, text := get(t, ops+"/readyz")
		return status == http.StatusOK && strings.HasPrefix(text, "ready")
	})
	within(t, "one that is kept", func() bool { d := stored(); return d.Missing+d.Failed == "" && time.Until(d.Until) > 0 })
	conn, _, err := client.Login(t.Context(), client.Config{URL: d.State().URL, RootCAs: a.Roots, Key: key.NewPrivate()})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	within(t, "a self-check", func() bool { c := d.State().Health.SelfCheck; return c.Checks > 0 && c.OK })
	if failed := d.State().Health.SelfCheck.FailedTotal; failed != 0 {
		t.Errorf("%d checks before failed", failed)
	}
	within(t, "a count", func() bool { return d.State().Certificate.Issuance.Issued == 1 })
	_, text := get(t, ops+"/status")
	var status struct {
		Certificate struct {
			Missing, Failed string
			Issuance        struct{ Issued, Failed int }
		}
		Edge struct{ Pending int }
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		t.Fatal(err)
	}
	if c := status.Certificate; c.Missing+c.Failed != "" || c.Issuance.Issued != 1 || c.Issuance.Failed == 0 {
		t.Errorf("%+v", c)
	}
	within(t, "the authority's connections are gone", func() bool { return d.State().Conns == 0 })
}

// An authority that asks at port 80 is answered by the relay itself.
func TestRelayAtPort80(t *testing.T) {
	listener, _ := listen(t)
	free, port := listen(t)
	free.Close()
	a := acmetest.Start(t, acmetest.Options{HTTPPort: port})
	c := ofAuthority(t, a, listener)
	c.ACME.Challenge, c.HTTP = config.ChallengeHTTP, free.Addr().String()
	d, err := daemon.Open(c, daemon.Options{Listener: listener, Issue: acme.FromSettings})
	if err != nil {
		t.Fatal(err)
	}
	forAll(t, d.Run)
	within(t, "a certificate", func() bool { return d.State().Certificate.Missing == "" })
}

// A running relay changes from a certificate of its own to an authority's, and back.
func TestRelayChangesItsSource(t *testing.T) {
	listener, port := listen(t)
	a := acmetest.Start(t, acmetest.Options{TLSPort: port})
	issued := ofAuthority(t, a, listener)
	own := issued
	own.TLS.Mode, own.ACME = config.TLSSelf, config.ACME{}
	d, err := daemon.Open(own, daemon.Options{Listener: listener, Issue: acme.FromSettings})
	if err != nil {
		t.Fatal(err)
	}
	forAll(t, d.Run)
	if _, err := d.Reload(issued); err != nil {
		t.Fatal(err)
	}
	within(t, "a certificate", func() bool { c := d.State().Certificate; return c.Missing == "" && c.Issuance != nil })
	conn, _, err := client.Login(t.Context(), client.Config{URL: d.State().URL, RootCAs: a.Roots, Key: key.NewPrivate()})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := d.Reload(own); err != nil {
		t.Fatal(err)
	}
	if now := d.State(); now.Pin == "" || now.Certificate.Issuance != nil {
		t.Errorf("%+v", now.Certificate)
	}
}

// A program that has brought no client of authorities cannot have them.
func TestRelayWithoutAClient(t *testing.T) {
	listener, _ := listen(t)
	_, err := daemon.Open(ofAuthority(t, &acmetest.Authority{Directory: "https://127.0.0.1:1/"}, listener), daemon.Options{Listener: listener})
	if err == nil || !strings.Contains(err.Error(), "a part of another program") {
		t.Error(err)
	}
}

func TestCoordinator(t *testing.T) {
	listener, port := listen(t)
	a := acmetest.Start(t, acmetest.Options{TLSPort: port})
	c := coordserver.Defaults()
	c.Front, c.InMemory = ofAuthority(t, a, listener), true
	c.Front.Access.Everyone = false
	s, err := coordserver.Open(c, coordserver.Options{Listener: listener, Issue: acme.FromSettings})
	if err != nil {
		t.Fatal(err)
	}
	if shown := s.State().Certificate; shown.Missing == "" {
		t.Errorf("%+v", shown)
	}
	forAll(t, func(ctx context.Context) error { return s.Run(ctx, nil) })
	within(t, "a coordinator that is ready", func() bool { return s.State().NotReady == "" })
	within(t, "a count", func() bool { return s.State().Certificate.Issuance.Issued == 1 })
}
