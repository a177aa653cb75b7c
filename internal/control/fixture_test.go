package control

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// deadline bounds what must happen.
func deadline() time.Time { return time.Now().Add(20 * time.Second) }

// list is an Access that is a plain table.
type list struct {
	mu    sync.Mutex
	lines map[key.Public]Line
	sets  map[string][]Entry
	last  Order
}

func newList() *list { return &list{lines: map[key.Public]Line{}, sets: map[string][]Entry{}} }

func (l *list) Lines(only []key.Public) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for k, line := range l.lines {
			if only != nil && !slices.Contains(only, k) {
				continue
			}
			if !yield(line) {
				return
			}
		}
	}
}

func (l *list) Do(order string, keys []key.Public, until time.Time, o Order) (errs []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = o
	for _, k := range keys {
		errs = append(errs, l.doLocked(order, k, until, o))
	}
	return errs
}

func (l *list) doLocked(order string, k key.Public, until time.Time, o Order) error {
	_, known := l.lines[k]
	switch order {
	case Allow:
		l.lines[k] = Line{Key: k, State: Allowed, Label: o.Label, Until: until, From: "allow"}
	case Ban:
		l.lines[k] = Line{Key: k, State: Banned, Why: o.Why, Until: until}
	case Remove, Unban:
		if !known {
			return fmt.Errorf("%s is not there", k.Short())
		}
		delete(l.lines, k)
	default:
		return fmt.Errorf("order %q", order)
	}
	return nil
}

func (l *list) Import(o ImportOrder, entries []Entry) (done Imported, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(entries) == 0 && !o.Force {
		return done, fmt.Errorf("set %s would be empty", o.Set)
	}
	for _, e := range entries {
		done.Came = append(done.Came, Came{Key: e.Key, Label: e.Label, Name: e.Name})
	}
	if !o.DryRun {
		l.sets[o.Set] = entries
	}
	return done, nil
}

// crowd is Peers that are said to be there.
type crowd struct {
	mu  sync.Mutex
	all []relay.PeerState
	why error
}

func (c *crowd) Peers(yield func(relay.PeerState) bool) {
	c.mu.Lock()
	all := append([]relay.PeerState{}, c.all...)
	c.mu.Unlock()
	for _, p := range all {
		if !yield(p) {
			return
		}
	}
}

func (c *crowd) Close(match func(relay.PeerState) bool, why error, atMost int) (closed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why = why
	stay := c.all[:0]
	for _, p := range c.all {
		if match(p) {
			closed++
		} else {
			stay = append(stay, p)
		}
	}
	c.all = stay
	return closed
}

// at returns a client of a handler that answers on a socket.
func at(t testing.TB, h *Handler) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(listener, nil, h, nil)
	serving := make(chan error, 1)
	go func() { serving <- s.Serve() }()
	c := newClient(new(http.Transport), "http://"+listener.Addr().String(), "")
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-serving; err != nil {
			t.Error(err)
		}
	})
	return c
}

func newKeys(n int) (keys []key.Public) {
	for range n {
		keys = append(keys, key.NewPrivate().Public())
	}
	return keys
}

// secured returns a client of a handler behind a door, over TLS.
func secured(t *testing.T, h *Handler, secret, given string) (*Client, *Door, *httptest.Server) {
	t.Helper()
	token, err := NewToken(secret)
	if err != nil {
		t.Fatal(err)
	}
	door := NewDoor(h, token, func(host string) bool { return host == "relay.example" }, "change this process", slog.New(slog.DiscardHandler))
	s := httptest.NewTLSServer(door)
	t.Cleanup(s.Close)
	base, _ := url.Parse(s.URL)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := OverNetwork(base, &tls.Config{RootCAs: roots}, nil, given)
	t.Cleanup(c.Close)
	return c, door, s
}
