package control

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
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/detour-relay/detour/key"
)

const (
	dialTimeout = 5 * time.Second

	// answerTimeout bounds the wait for the beginning of an answer: a reload may start
	// another process first.
	answerTimeout = 3 * time.Minute

	// mostAnswer bounds an answer that is one value, and mostRows one that is a list,
	// which has some 200 bytes a key.
	mostAnswer = 16 << 20
	mostRows   = 2 << 30
)

// ErrUnanswered: nobody has answered, or not as this package does.
var ErrUnanswered = errors.New("no answer")

// ErrElse is an ErrUnanswered: somebody else has.
var ErrElse = errors.New("what answers there is something else")

// A Client asks a relay.
type Client struct {
	http  http.Client
	base  string
	token string
}

// OverSocket returns a client of the relay at a unix socket.
func OverSocket(path string) *Client {
	var d net.Dialer
	return newClient(&http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			return d.DialContext(ctx, "unix", path)
		},
	}, "http://relay", "")
}

// OverNetwork returns a client of the relay at a URL, of which scheme, host and port count.
func OverNetwork(base *url.URL, trust *tls.Config, proxy func(*http.Request) (*url.URL, error), secret string) *Client {
	return newClient(&http.Transport{
		TLSClientConfig: trust, Proxy: proxy,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
	}, base.Scheme+"://"+base.Host, secret)
}

func newClient(t *http.Transport, base, secret string) *Client {
	t.ResponseHeaderTimeout = answerTimeout
	t.DisableCompression = true
	return &Client{
		http: http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		base: base, token: secret,
	}
}

// Close ends its connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ask sends a request and returns the body of an answer that is not an error. Of one
// that is, [Said] has the whole text.
func (c *Client) Ask(ctx context.Context, method, path string, q url.Values, body io.Reader) (io.ReadCloser, error) {
	at := c.base + path
	if len(q) > 0 {
		at += "?" + q.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.send(r)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // who asks knows where
		}
		return nil, fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	if isAnswer(answer) {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	return nil, failureOf(answer)
}

// sendAgain is how often a question is sent again whose connection was cut.
const sendAgain = 3

// send sends a request. A question whose connection ends without an answer is sent again:
// it was in the hands of a process that another one takes over from. An order may have
// been carried out, and is not.
func (c *Client) send(r *http.Request) (*http.Response, error) {
	answer, err := c.http.Do(r)
	for n := 0; n < sendAgain && r.Method == http.MethodGet && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)); n++ {
		answer, err = c.http.Do(r)
	}
	return answer, err
}

// isAnswer reports whether an answer is one that says what was asked for. A page of the
// server's own listener, or of a proxy, is none, nor is an empty one: that would be an
// empty list. Nothing is an answer only where it says so.
func isAnswer(answer *http.Response) bool {
	if answer.StatusCode == http.StatusNoContent {
		return true
	}
	return answer.StatusCode/100 == 2 && slices.Contains(kinds, answer.Header.Get("Content-Type"))
}

// kinds are those of answers.
var kinds = []string{"application/json", "application/x-ndjson"}

// failureOf is what an answer says that is an error.
func failureOf(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err != nil {
		return fmt.Errorf("%w: the answer broke off: %w", ErrUnanswered, err)
	}
	var f Failure
	if json.Unmarshal(text, &f) != nil || f.Error == "" {
		return fmt.Errorf("%w: %w (HTTP status %s): is this the admin address of it?", ErrUnanswered, ErrElse, answer.Status)
	}
	return &answered{&Error{answer.StatusCode, f.Error}, text}
}

// Said is the text of the answer that an error of Ask was made of.
func Said(err error) (text []byte, ok bool) {
	e, ok := errors.AsType[*answered](err)
	if !ok {
		return nil, false
	}
	return e.text, true
}

// answered is an Error with the whole answer.
type answered struct {
	why  *Error
	text []byte
}

func (e *answered) Error() string { return e.why.Error() }
func (e *answered) Unwrap() error { return e.why }

// value asks for one value.
func (c *Client) value(ctx context.Context, method, path string, send, into any) error {
	var body io.Reader
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	answer, err := c.Ask(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	return readValue(answer, into)
}

func readValue(answer io.ReadCloser, into any) error {
	defer answer.Close()
	text, err := io.ReadAll(io.LimitReader(answer, mostAnswer))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("%w: the answer cannot be read: %w", ErrUnanswered, err)
	}
	return nil
}

// Version asks what answers.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.value(ctx, http.MethodGet, PathVersion, nil, &v)
}

// Status asks for what /status has.
func (c *Client) Status(ctx context.Context) (s json.RawMessage, err error) {
	err = c.value(ctx, http.MethodGet, PathStatus, nil, &s)
	return s, err
}

// Settings asks for the settings in effect.
func (c *Client) Settings(ctx context.Context) (s json.RawMessage, err error) {
	err = c.value(ctx, http.MethodGet, pathSettings, nil, &s)
	return s, err
}

// Reload has the relay take its settings over as they are now. The report says what
// has changed, also beside an [Error].
func (c *Client) Reload(ctx context.Context) (report Report, err error) {
	err = c.value(ctx, http.MethodPost, pathReload, nil, &report)
	if e, ok := errors.AsType[*answered](err); ok {
		json.Unmarshal(e.text, &report) // as failureOf has, in part
	}
	return report, err
}

// Drain has the relay send its peers elsewhere and end.
func (c *Client) Drain(ctx context.Context) error {
	return c.value(ctx, http.MethodPost, pathDrain, nil, new(struct{}))
}

// SignIn asks for a link to the page.
func (c *Client) SignIn(ctx context.Context) (s SignIn, err error) {
	err = c.value(ctx, http.MethodPost, pathSignIn, nil, &s)
	return s, err
}

// Order has one of the orders about access followed. The results are those of the keys
// that came before an error, too.
func (c *Client) Order(ctx context.Context, what string, o Order) (all []Result, err error) {
	return c.orders(ctx, pathAccess+"/"+what, o)
}

// ClosePeers ends the connections of keys.
func (c *Client) ClosePeers(ctx context.Context, keys []key.Public) (all []Result, err error) {
	return c.orders(ctx, pathClose, Order{Keys: keys})
}

// keysAtOnce are those of one request, well below mostOrder.
const keysAtOnce = 5000

func (c *Client) orders(ctx context.Context, path string, o Order) (all []Result, err error) {
	for keys := range slices.Chunk(o.Keys, keysAtOnce) {
		o.Keys = keys
		var some Results
		if err := c.value(ctx, http.MethodPost, path, o, &some); err != nil {
			return all, err
		}
		all = append(all, some.Results...)
	}
	return all, nil
}

// Lines ranges over the access list. All of it is fetched before the first line is
// handed on, so that the relay waits for nobody who reads slowly.
func (c *Client) Lines(ctx context.Context, f Filter, each func(Line) error) error {
	q := url.Values{}
	for name, text := range map[string]string{"state": f.State, "label": f.Label} {
		if text != "" {
			q.Set(name, text)
		}
	}
	for _, k := range f.Keys {
		q.Add("key", k.String())
	}
	return getRows(ctx, c, pathAccess, q, each)
}

// Peers ranges over the connections, as Lines does.
func (c *Client) Peers(ctx context.Context, each func(Peer) error) error {
	return getRows(ctx, c, pathPeers, nil, each)
}

// Clients asks for a page of the connections, see clients.Parse for the query.
func (c *Client) Clients(ctx context.Context, q url.Values) (page Clients, err error) {
	return page, c.Get(ctx, pathClients, q, &page)
}

// Get asks for one value at a path, also of an admin address.
func (c *Client) Get(ctx context.Context, path string, q url.Values, into any) error {
	answer, err := c.Ask(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	return readValue(answer, into)
}

func getRows[T any](ctx context.Context, c *Client, path string, q url.Values, each func(T) error) error {
	answer, err := c.Ask(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(answer, mostRows+1))
	answer.Close()
	switch {
	case err != nil:
		return fmt.Errorf("%w: the list broke off: %w", ErrUnanswered, err)
	case int64(len(text)) > mostRows:
		return fmt.Errorf("%w: the list does not end", ErrUnanswered)
	}
	for line := range bytes.Lines(text) {
		var row T
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("%w: the list cannot be read: %w", ErrUnanswered, err)
		}
		if err := each(row); err != nil {
			return err
		}
	}
	return nil
}

// Import has a set of keys replaced by those of entries.
func (c *Client) Import(ctx context.Context, o ImportOrder, entries []Entry) (done Imported, err error) {
	q := url.Values{"set": {o.Set}, "force": {strconv.FormatBool(o.Force)}, "dry_run": {strconv.FormatBool(o.DryRun)}}
	send, body := io.Pipe()
	go func() { body.CloseWithError(writeEntries(body, entries)) }()
	defer send.Close()
	answer, err := c.Ask(ctx, http.MethodPost, pathImport, q, send)
	if err != nil {
		return done, err
	}
	return done, readValue(answer, &done)
}
