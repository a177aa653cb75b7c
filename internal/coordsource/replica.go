package coordsource

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/internal/vouch"
)

const example = "https://coord.example.com, or https://192.0.2.1:8443=" + pin.Prefix + "... with the pin of its certificate"

// replica is one coordinator.
type replica struct {
	base   string // URL without a path
	token  string
	verify *vouch.URL
	client *http.Client // for what lasts
}

// newReplica reads a URL, perhaps with = and a pin behind it.
func newReplica(given string, cfg Config) (*replica, error) {
	base, certName, err := cutPin(given)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%q: want the URL of a coordinator, such as %s", text.RedactURL(given), example)
	}
	way, err := reach.New(reach.Config{URL: base, CertName: certName})
	if err != nil {
		return nil, err
	}
	if !way.TLS && !isLoopback(way.Host) {
		return nil, fmt.Errorf("%q: without TLS a coordinator is asked on this machine only: want %s", base, example)
	}
	r := &replica{base: way.Location.Scheme + "://" + way.Location.Host, token: cfg.Token}
	var trust *tls.Config
	if way.TLS {
		trust = way.TLSConfig()
	}
	if r.verify, err = vouch.NewURL(r.base+coordapi.PathVerify, r.header(), trust); err != nil {
		return nil, err
	}
	r.client = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: cfg.DialContext, Proxy: reach.ProxyFromEnvironment, TLSClientConfig: trust.Clone(), TLSHandshakeTimeout: 10 * time.Second,
			ResponseHeaderTimeout: coordapi.BeatTime, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
		},
	}
	return r, nil
}

func cutPin(given string) (base, certName string, err error) {
	base, certName, pinned := strings.Cut(given, "=")
	if !pinned {
		return base, "", nil
	}
	if _, err := pin.Parse(certName); err != nil {
		return "", "", fmt.Errorf("%q: %w", text.RedactURL(base), err)
	}
	if strings.HasPrefix(base, "http://") {
		return "", "", fmt.Errorf("%q: without TLS there is no certificate to pin: remove = and the pin, or write https://", text.RedactURL(base))
	}
	return base, certName, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost"
}

func (r *replica) header() http.Header {
	if r.token == "" {
		return nil
	}
	return http.Header{"Authorization": {"Bearer " + r.token}}
}

// checkToken makes sure that a token can stand in a header.
func checkToken(token string) error {
	if strings.ContainsAny(token, " \t\r\n") || !httpguts.ValidHeaderFieldValue(token) {
		return errors.New("the token has a character that no token has")
	}
	return nil
}

// addr is its host and port, for people.
func (r *replica) addr() string {
	_, host, _ := strings.Cut(r.base, "://")
	return host
}

func (r *replica) close() {
	r.verify.Close()
	r.client.CloseIdleConnections()
}

// causeOf leaves out of an error of net/http what we say ourselves.
func causeOf(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" && e.Err != nil {
		return fmt.Errorf("it cannot be reached: %w", e.Err)
	}
	return err
}
