// Package acmetest has an ACME authority for tests: Pebble, in this process, on
// loopback. It really asks, at ports of the test's choosing.
package acmetest

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Options say how an authority behaves. Zero fields mean the default.
type Options struct {
	TLSPort, HTTPPort int               // at which it asks
	DNS               string            // address of the DNS server that it asks; empty: one by which all names lead to loopback
	External          map[string]string // accounts that it wants, key by ID; nil: none
	Blocked           []string          // names that it refuses
	Nonces            int               // of a hundred, refused for nothing
	Life              time.Duration     // of certificates (default 90 days)
	ShortLife         time.Duration     // of those of the profile shortlived (default 6 days)
}

// An Authority issues for whoever shows that he has a name. All names lead to loopback.
type Authority struct {
	Directory string            // URL
	CA        string            // PEM file with who has signed the URL's certificate
	Web       *x509.CertPool    // the same
	Roots     *x509.CertPool    // who signs what is issued
	Root      *x509.Certificate // the same

	// Instead answers a request in its place, if it is set and says so.
	Instead atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]

	Orders atomic.Int64 // that it was given
}

// Start returns an authority that ends with the test.
func Start(t testing.TB, o Options) *Authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", strconv.Itoa(o.Nonces))
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	logger := log.New(io.Discard, "", 0) // what it says of each request is of no use to a test
	store := db.NewMemoryStore()
	for id, key := range o.External {
		if err := store.AddExternalAccountKeyByID(id, key); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range o.Blocked {
		if err := store.AddBlockedDomain(name); err != nil {
			t.Fatal(err)
		}
	}
	issuer := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{
		"default":    {Description: "what is usual", ValidityPeriod: seconds(o.Life, 90*24*time.Hour)},
		"shortlived": {Description: "for some days", ValidityPeriod: seconds(o.ShortLife, 6*24*time.Hour)},
	})
	if o.DNS == "" {
		o.DNS = resolver(t)
	}
	asks := va.New(logger, o.HTTPPort, o.TLSPort, false, o.DNS, store)
	front := wfe.New(logger, store, asks, issuer, []string{"acmetest"}, false, o.External != nil, 1, 1)

	a := &Authority{Roots: x509.NewCertPool(), Root: issuer.GetRootCert(0).Cert, Web: x509.NewCertPool()}
	a.Roots.AddCert(a.Root)
	handler := front.Handler()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if instead := a.Instead.Load(); instead != nil && (*instead)(w, r) {
			return
		}
		if strings.HasPrefix(r.URL.Path, "/order-plz") {
			a.Orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	a.Directory = server.URL + wfe.DirectoryPath
	a.Web.AddCert(server.Certificate())
	a.CA = filepath.Join(t.TempDir(), "web.pem")
	if err := os.WriteFile(a.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// Answer has requests answered so from now on; nil: as usual.
func (a *Authority) Answer(instead func(w http.ResponseWriter, r *http.Request) bool) {
	if instead == nil {
		a.Instead.Store(nil)
		return
	}
	a.Instead.Store(&instead)
}

func seconds(d, otherwise time.Duration) uint64 {
	if d == 0 {
		d = otherwise
	}
	return uint64(d / time.Second)
}
