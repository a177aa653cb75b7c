package setup

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
	"github.com/detour-relay/detour/internal/mesh"
	"github.com/detour-relay/detour/internal/vouch"
	"github.com/detour-relay/detour/key"
)

// Others asks those whom the settings name whether they answer: URLs that say who may
// come in, and the other relays of the region. A relay would start without them.
func (w World) Others(ctx context.Context, cfg config.Config) []daemon.Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var asks []func() daemon.Finding
	for _, url := range cfg.Access.Verify {
		asks = append(asks, func() daemon.Finding { return askURL(ctx, cfg.Access, url) })
	}
	entries, err := mesh.ParseEntries(strings.Join(cfg.Mesh.With, ","))
	if err == nil { // else it is told already
		for _, e := range entries {
			if e.Host != cfg.Hostname {
				asks = append(asks, func() daemon.Finding { return dialSibling(ctx, e) })
			}
		}
	}
	if cfg.TLS.Mode == config.TLSACME {
		asks = append(asks, func() daemon.Finding { return w.Issuer(ctx, cfg) })
	}
	found := make([]daemon.Finding, len(asks))
	var asking sync.WaitGroup
	for i, ask := range asks {
		asking.Go(func() { found[i] = ask() })
	}
	asking.Wait()
	return found
}

// askURL asks about a key that nobody has.
func askURL(ctx context.Context, a config.Access, url string) daemon.Finding {
	const setting = "access.verify"
	var header http.Header
	var trust *tls.Config
	var err error
	if a.VerifyHeaders != "" {
		if header, err = vouch.ReadHeaders(a.VerifyHeaders); err != nil {
			return finding(daemon.Noted, setting, "was not asked: its headers cannot be read")
		}
	}
	if a.VerifyCA != "" {
		roots, err := certs.ReadRoots(a.VerifyCA)
		if err != nil {
			return finding(daemon.Noted, setting, "was not asked: its authorities cannot be read")
		}
		trust = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	source, err := vouch.NewURL(url, header, trust)
	if err != nil {
		return finding(daemon.Wrong, setting, "%v", err)
	}
	defer source.Close()
	switch allow, err := source.Ask(ctx, key.NewPrivate().Public(), netip.AddrFrom4([4]byte{127, 0, 0, 1})); {
	case err != nil:
		return finding(daemon.Noted, setting, "%s says nothing that a relay could use: %v", source.Target(), err)
	case allow:
		return finding(daemon.Noted, setting, "%s lets in a key that was made up just now: it lets in everybody", source.Target())
	}
	return finding(daemon.Fine, setting, "%s answers, and keeps a stranger out", source.Target())
}

// Issuer asks the authority that is to issue the certificate whether it is one.
func (w World) Issuer(ctx context.Context, cfg config.Config) daemon.Finding {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return askAuthority(ctx, cmp.Or(cfg.ACME.Directory, w.Authority), cfg.ACME.CA)
}

// askAuthority reads its directory, which authorities do not count.
func askAuthority(ctx context.Context, url, ca string) daemon.Finding {
	const setting = "acme.directory"
	var roots *x509.CertPool
	if ca != "" {
		var err error
		if roots, err = certs.ReadRoots(ca); err != nil {
			return finding(daemon.Noted, setting, "%s was not asked: acme.ca cannot be read", url)
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return finding(daemon.Wrong, setting, "%v", err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return finding(daemon.Noted, setting, "the authority cannot be reached, which is tried again while the relay runs: %v", err)
	}
	defer answer.Body.Close()
	var directory struct {
		NewOrder string
		Meta     struct{ TermsOfService string }
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&directory); err != nil || answer.StatusCode != http.StatusOK || directory.NewOrder == "" {
		return finding(daemon.Noted, setting, "%s is not the directory of an authority: it answers %s", url, answer.Status)
	}
	if terms := directory.Meta.TermsOfService; terms != "" {
		return finding(daemon.Fine, setting, "the authority answers; by starting the relay you accept its terms: %s", terms)
	}
	return finding(daemon.Fine, setting, "the authority answers")
}

func dialSibling(ctx context.Context, e mesh.Entry) daemon.Finding {
	host := e.Host
	if e.DialHost != "" {
		host = e.DialHost
	}
	address := net.JoinHostPort(host, strconv.Itoa(int(e.Port)))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		if inner := (*net.OpError)(nil); errors.As(err, &inner) {
			err = inner.Err
		}
		return finding(daemon.Noted, "mesh.with", "%s cannot be reached at %s yet: %v", e.Name, address, err)
	}
	conn.Close()
	return finding(daemon.Fine, "mesh.with", "%s answers at %s", e.Name, address)
}
