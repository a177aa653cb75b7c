package tailnet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/reach"
)

const (
	dialTime   = 10 * time.Second
	callTime   = 15 * time.Second
	mostAnswer = 256 << 10 // bytes of an answer that is no stream
	mostRetry  = 5 * time.Minute
)

// contact is a coordinator: where it is, and how to talk to it.
type contact struct {
	coordapi.Contact
	http *http.Client
}

// newContact checks where a coordinator is said to be.
func newContact(c coordapi.Contact, cfg *Config) (*contact, error) {
	way := reach.Config{URL: c.URL, RootCAs: cfg.RootCAs, Proxy: cfg.Proxy, DialContext: cfg.DialContext, Sessions: tls.NewLRUClientSessionCache(1)}
	if c.HasPin() {
		way.CertName = pinText(c)
	}
	to, err := reach.New(way)
	if err != nil {
		return nil, fmt.Errorf("coordinator: %w", err)
	}
	if !to.TLS && !onLoopback(to.Host) {
		return nil, fmt.Errorf("coordinator %s: without TLS it can be on this machine only: want https://", c.URL)
	}
	c.URL = strings.TrimRight(c.URL, "/")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, to) }
	return &contact{c, &http.Client{
		Transport: &http.Transport{
			DialContext: dial, DialTLSContext: dial, DisableCompression: true,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func pinText(c coordapi.Contact) string { return fmt.Sprintf("%s%x", pin.Prefix, c.Pin) }

func onLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// dial goes all the way up to where HTTP begins.
func dial(ctx context.Context, to *reach.Target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	return to.Open(ctx)
}

// call asks something that is answered at once; in and out may be nil.
func (c *contact) call(ctx context.Context, method, path, token string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, errSlow)
	defer cancel()
	answer, err := c.ask(ctx, method, path, token, in)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer+1))
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	if err == nil && len(body) > mostAnswer {
		err = fmt.Errorf("it answers with more than %d KiB", mostAnswer>>10)
	}
	if err == nil && out != nil {
		if err = json.Unmarshal(body, out); err != nil {
			err = errors.New("what answers is no coordinator: it does not speak JSON")
		}
	}
	return c.named(err)
}

// ask sends a request, and returns the answer if it has status 200: its body is open.
func (c *contact) ask(ctx context.Context, method, path, token string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.http.Do(r)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // it repeats the address, with the cursor
	}
	if err != nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	if err == nil && answer.StatusCode != http.StatusOK {
		err = refused(answer)
		answer.Body.Close()
	}
	return answer, c.named(err)
}

// leave is for when a stream has ended. Unless the coordinator has said why, other
// connections to it may be as dead, and would be found out only by waiting.
func (c *contact) leave(e *end) {
	if codeOf(e.err) == "" {
		c.http.CloseIdleConnections()
	}
}

// named says which coordinator an error is about.
func (c *contact) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("coordinator %s: %w", c.URL, err)
}

// refused reads why an answer is a no.
func refused(answer *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(answer.Body, coordapi.MostBody))
	r := new(refusal)
	if json.Unmarshal(body, r) != nil || r.Code == "" {
		if answer.StatusCode == http.StatusUnauthorized {
			r.Code = coordapi.CodeUnauthorized
		}
		r.Message = fmt.Sprintf("HTTP status %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	r.Code, r.Message, r.Status = cleanText(r.Code), cleanText(r.Message), answer.StatusCode
	if s, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && s > 0 {
		r.RetryAfter = min(time.Duration(min(s, 1<<20))*time.Second, mostRetry)
	}
	return r
}
