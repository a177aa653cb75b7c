package derpmap

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/internal/text"
)

// FetchConfig says where a map comes from. URL is required.
type FetchConfig struct {
	URL  string // http or https
	Form Form   // empty: look at the text

	Client  *http.Client   // nil: one that follows the environment's proxies
	RootCAs *x509.CertPool // who may sign the certificate of an https URL; nil: the system's. Not with Client
	Timeout time.Duration  // of one fetch, all of it; 0: 10 s

	// DialContext makes the connections; nil: net.Dialer. Not with Client.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// Interval is how long Watch waits from one fetch to the next, on average: each
	// wait is 0.75 to 1.25 of it, so that many watchers do not come at once. 0: 5
	// min.
	Interval time.Duration
}

// Fetcher gets a map from a URL. Any number of goroutines may use it.
type Fetcher struct {
	cfg FetchConfig

	mu   sync.Mutex // held while a fetch is under way
	last *Map
	text []byte // of last, as it came last
	etag string // of text; empty if the server says none
}

// ErrNoRegions: what was fetched is a map, but has no regions. It does not take the
// place of one that has.
var ErrNoRegions = errors.New("the map has no regions")

// firstRetry is how soon Watch tries again after a failure. Each further one
// doubles it, up to the interval.
const firstRetry = 5 * time.Second

// NewFetcher returns a Fetcher that has no map yet.
func NewFetcher(cfg FetchConfig) (*Fetcher, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("URL of the DERP map: %q is no http or https URL", text.RedactURL(cfg.URL))
	case cfg.Timeout < 0 || cfg.Interval < 0:
		return nil, errors.New("fetching the DERP map: Timeout and Interval must not be negative")
	case cfg.Client != nil && (cfg.RootCAs != nil || cfg.DialContext != nil):
		return nil, errors.New("fetching the DERP map: RootCAs and DialContext have no effect on a Client of one's own")
	}
	if cfg.Client == nil {
		cfg.Client = clientFor(cfg)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Interval == 0 {
		cfg.Interval = 5 * time.Minute
	}
	return &Fetcher{cfg: cfg}, nil
}

// clientFor trusts who signs the certificate of the URL, and connects as it is told.
func clientFor(cfg FetchConfig) *http.Client {
	usual, ok := http.DefaultTransport.(*http.Transport)
	if cfg.RootCAs == nil && cfg.DialContext == nil || !ok {
		return http.DefaultClient
	}
	transport := usual.Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: cfg.RootCAs}
	if cfg.DialContext != nil {
		transport.DialContext = cfg.DialContext
	}
	transport.DisableKeepAlives = true // nobody closes what is idle
	return &http.Client{Transport: transport}
}

// Text gets the text whatever it is, for those who judge it themselves. It is at most
// one byte longer than [MaxSize].
func (f *Fetcher) Text(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	source, _, err := f.get(ctx, "")
	return source, err
}

// Fetch gets the map, and tells whether it is another than last time. If it cannot
// be had, or is not good, Fetch returns the last good map together with the error;
// that is nil if there was none. The map is shared and must not be written to.
func (f *Fetcher) Fetch(ctx context.Context) (m *Map, changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	changed, err = f.fetchLocked(ctx)
	if err != nil {
		err = fmt.Errorf("fetching the DERP map: %w", err)
	}
	return f.last, changed, err
}

func (f *Fetcher) fetchLocked(ctx context.Context) (changed bool, err error) {
	source, etag, err := f.get(ctx, f.etag)
	if err != nil || source == nil {
		return false, err
	}
	return f.takeLocked(source, etag)
}

// get gets a text, and the ETag that the server gives it. With an ETag of before, the
// text is nil if it has not changed.
func (f *Fetcher) get(ctx context.Context, before string) (source []byte, etag string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.cfg.URL, nil)
	if err != nil {
		return nil, "", err
	}
	if before != "" {
		request.Header.Set("If-None-Match", before)
	}
	response, err := f.cfg.Client.Do(request)
	switch {
	case err != nil && response != nil: // then the client has refused to follow one more
		return nil, "", fmt.Errorf("%s: it redirects again and again: give the URL of the map itself", request.URL.Redacted())
	case err != nil:
		return nil, "", err
	}
	defer response.Body.Close()
	from := response.Request.URL.Redacted()
	switch {
	case response.StatusCode == http.StatusNotModified && before != "":
		return nil, before, nil
	case response.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("%s: %s: %s", from, response.Status, statusRemedy(response.StatusCode))
	}
	source, err = io.ReadAll(io.LimitReader(response.Body, MaxSize+1)) // Load refuses what is longer than MaxSize
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF): // not wrapped: the URL is right, and the way to it
		return nil, "", fmt.Errorf("%s: the answer broke off after %d bytes: ask again; if it stays, see the log of its server", from, len(source))
	case err != nil:
		return nil, "", fmt.Errorf("%s: %w", from, err)
	}
	return source, response.Header.Get("ETag"), nil
}

// statusRemedy is what to do about an answer that has no map in it.
func statusRemedy(code int) string {
	switch {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return "its server wants to know who asks: have it give the map to everybody, or write https://name:password@ into the URL"
	case code == http.StatusProxyAuthRequired:
		return "the proxy wants to know who asks: write http://name:password@ into HTTPS_PROXY"
	case code == http.StatusTooManyRequests:
		return "its server is asked too often: wait, or ask it less often"
	case code == http.StatusNotModified:
		return "nothing was asked that has this answer: see the cache on the way to the map's server"
	case code >= 500:
		return "its server has a fault, or cannot be reached by what stands before it: see their logs"
	}
	return "is this the URL of a map?"
}

// takeLocked takes a text for the last one if it is a good map.
func (f *Fetcher) takeLocked(source []byte, etag string) (changed bool, err error) {
	if f.last != nil && bytes.Equal(source, f.text) {
		f.etag = etag
		return false, nil
	}
	m, err := Load(source, f.cfg.Form)
	if err != nil {
		return false, err
	}
	if len(m.IDs()) == 0 {
		return false, ErrNoRegions
	}
	f.text, f.etag = source, etag
	if reflect.DeepEqual(m, f.last) { // only written in another way
		return false, nil
	}
	f.last = m
	return true, nil
}

// Watch fetches the map again and again until ctx ends, and calls on for each map
// that is another than the one before, and for each failure, with the last good map
// (or nil) and the error. It returns when ctx has ended and on has returned.
func (f *Fetcher) Watch(ctx context.Context, on func(*Map, error)) {
	pace := retry.Backoff{First: firstRetry, Most: f.cfg.Interval}
	known := (*Map)(nil) // what on was told last
	for ctx.Err() == nil {
		m, _, err := f.Fetch(ctx)
		wait := retry.Jitter(f.cfg.Interval)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = pace.Next()
			on(m, err)
		case m != known:
			on(m, nil)
		}
		if err == nil {
			pace.Reset()
		}
		known = m
		retry.Rest(ctx, wait, nil)
	}
}
