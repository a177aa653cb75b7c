package interop

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"tailscale.com/derp/derpserver"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"

	"github.com/detour-relay/detour/test/interop/programs"
)

// theirRelay is a relay that runs Tailscale's code, in this process or as a program.
type theirRelay struct {
	url   string
	roots *x509.CertPool // with its certificate; nil without TLS
	pin   string         // of it; only of a program, whose chain may be pinned

	// request is the last request that reached it; nil for a program, which does not tell.
	request atomic.Pointer[http.Request]
}

// relayOptions say how a relay in this process is reached.
type relayOptions struct {
	plain      bool   // without TLS
	maxVersion uint16 // of TLS; zero: the newest
	noMeta     bool   // without the meta certificate, as behind a middlebox
}

// newTheirRelay runs their relay in this process until the test ends.
func newTheirRelay(t *testing.T, options relayOptions) *theirRelay {
	t.Helper()
	server := derpserver.New(key.NewNode(), logger.Discard)
	t.Cleanup(func() { server.Close() })
	relay := new(theirRelay)
	handler := derpserver.AddWebSocketSupport(server, derpserver.Handler(server))
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		relay.request.Store(r)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	if options.plain {
		front.Start()
		relay.url = front.URL + "/derp"
		return relay
	}
	config := &tls.Config{
		MaxVersion:     options.maxVersion,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &front.TLS.Certificates[0], nil },
	}
	if !options.noMeta {
		server.ModifyTLSConfigToAddMetaCert(config)
	}
	// The test server puts its certificate into its own config, where it would go before GetCertificate.
	front.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return config, nil }}
	front.StartTLS()
	relay.url = front.URL + "/derp"
	relay.roots = x509.NewCertPool()
	relay.roots.AddCert(front.Certificate())
	return relay
}

// newDerper runs the program derper until the test ends.
func newDerper(t *testing.T) *theirRelay {
	t.Helper()
	program := programs.StartDerper(t)
	roots := x509.NewCertPool()
	roots.AddCert(program.Certificate)
	return &theirRelay{url: program.URL, roots: roots, pin: program.Pin}
}
