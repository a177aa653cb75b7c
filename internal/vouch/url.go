package vouch

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/text"
	"github.com/detour-relay/detour/key"
)

// mostAnswer is how much of an answer is read (spec 12.2).
const mostAnswer = 4 << 10

// idleConns are kept for the next questions.
const idleConns = 64

// A URL takes the admission request of derper (spec 12.2): the verify endpoint of
// Headscale, or any other.
type URL struct {
	url    string
	target string // for people, without secrets
	header http.Header
	client *http.Client
}

// NewURL checks the URL. Redirects are not followed: whoever sends
// us elsewhere is not who was named. trust says whose certificates are good; nil: those
// of the system's authorities.
func NewURL(given string, header http.Header, trust *tls.Config) (*URL, error) {
	u, err := checkURL(given)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     time.Minute,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     trust.Clone(),

		MaxResponseHeaderBytes: 64 << 10,
	}
	v := &URL{url: given, target: shown(u), header: header, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return v, nil
}

func checkURL(given string) (*url.URL, error) {
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q: want a URL such as https://headscale.example/verify", text.RedactURL(given))
	}
	return u, nil
}

// shown is a URL without what may be a secret.
func shown(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// Target is the URL for people: without what may be a secret.
func (v *URL) Target() string { return v.target }

// request is what derper sends.
type request struct {
	NodePublic key.Public
	Source     string // address without port; empty: unknown
}

// Ask puts the question. Only status 200 with an object that has a boolean Allow is an
// answer.
func (v *URL) Ask(ctx context.Context, k key.Public, from netip.Addr) (bool, error) {
	r := request{NodePublic: k}
	if from.IsValid() {
		r.Source = from.Unmap().String()
	}
	body, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	for name, values := range v.header {
		req.Header[name] = values
	}
	if host := v.header.Get("Host"); host != "" {
		req.Host = host
	}
	answer, err := v.client.Do(req)
	if err != nil {
		return false, &UnreachableError{cause(ctx, err)}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer+1))
	if answer.StatusCode != http.StatusOK {
		return false, statusError(answer)
	}
	if err != nil {
		return false, cause(ctx, err)
	}
	return parseAnswer(text, answer.Header.Get("Content-Type"))
}

// cause says why a request came to nothing, without the URL, which may hold secrets.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return err
}

// UnreachableError is about a URL at which nobody answers anything.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string { return e.Err.Error() }
func (e *UnreachableError) Unwrap() error { return e.Err }

// StatusError is about an answer with another status than 200.
type StatusError struct {
	Status int
	what   string
}

func (e *StatusError) Error() string { return e.what }

func statusError(answer *http.Response) error {
	return &StatusError{answer.StatusCode, statusText(answer)}
}

func statusText(answer *http.Response) string {
	if to := answer.Header.Get("Location"); to != "" && answer.StatusCode/100 == 3 {
		where := "elsewhere"
		if u, err := answer.Request.URL.Parse(to); err == nil {
			where = "to " + shown(u)
		}
		return fmt.Sprintf("it sends us %s (status %d), and redirects are not followed: name the URL that answers", where, answer.StatusCode)
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return fmt.Sprintf("it demands a login (status %d): give it by a file of headers, such as Authorization", answer.StatusCode)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Sprintf("status %d: is the path right? Headscale's is /verify", answer.StatusCode)
	}
	return fmt.Sprintf("status %d, where only 200 is an answer", answer.StatusCode)
}

// parseAnswer reads a JSON object with a boolean Allow, whatever the case of its
// letters. Where derper takes what is none for a no, this is no answer: it lets in
// nobody new, and throws out nobody who was confirmed.
func parseAnswer(body []byte, contentType string) (allow bool, err error) {
	if len(body) > mostAnswer {
		return false, fmt.Errorf("its answer is longer than %d KiB: is this an admission URL?", mostAnswer>>10)
	}
	said, err := allowOf(body)
	if err == nil && said == nil {
		err = errors.New(`there is no "Allow" in its answer: want {"Allow":true} or {"Allow":false}`)
	}
	if err != nil {
		if kind, _, _ := mime.ParseMediaType(contentType); strings.Contains(kind, "html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
			err = errors.New("it answers with a web page: is the URL right, and is no proxy or login page before it?")
		}
		return false, err
	}
	return *said, nil
}

// allowOf returns nil if nothing is said. What is said twice has to be the same.
func allowOf(body []byte) (said *bool, err error) {
	notJSON := errors.New(`its answer is no JSON object: want {"Allow":true} or {"Allow":false}`)
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, notJSON
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, notJSON
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, notJSON
		}
		if member, _ := name.(string); !strings.EqualFold(member, "Allow") {
			continue
		}
		allow, ok := value.(bool)
		if !ok {
			return nil, errors.New(`"Allow" in its answer is neither true nor false`)
		}
		if said != nil && *said != allow {
			return nil, errors.New(`its answer has two "Allow" that contradict each other`)
		}
		said = &allow
	}
	if end, err := d.Token(); err != nil || end != json.Delim('}') {
		return nil, notJSON
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more behind its JSON object")
	}
	return said, nil
}

// Check asks nothing: there is no request without a key.
func (v *URL) Check(context.Context) error { return nil }

// Close drops the connections that nobody uses.
func (v *URL) Close() { v.client.CloseIdleConnections() }
