package coord

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/key"
)

var contact = coordapi.Contact{URL: "https://coord.example.com"}

// none is a limit that nobody reaches.
var none = rate.Limit{PerSecond: 1e9, Burst: 1e9}

// coordinator is a Service that runs.
type coordinator struct {
	*Service
	t     *testing.T
	store *coordstore.Memory
	stop  func()
}

// start runs a coordinator over a store; inside a bubble.
func start(t *testing.T, store *coordstore.Memory, change func(*Config)) *coordinator {
	t.Helper()
	cfg := Config{Store: store, Contacts: func() []coordapi.Contact { return []coordapi.Contact{contact} },
		Limits: Limits{Source: none, Total: none, Member: none, Relay: none}}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	return &coordinator{s, t, store, func() { cancel(); wg.Wait() }}
}

func (c *coordinator) ready() *coordinator {
	c.t.Helper()
	for range 100 {
		if c.Ready() == nil {
			return c
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.t.Fatal(c.Ready())
	return nil
}

// bubble runs a test with one coordinator that is ready.
func bubble(t *testing.T, f func(t *testing.T, c *coordinator)) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, coordstore.NewMemory(), nil).ready()
		defer c.stop()
		f(t, c)
	})
}

type reply struct {
	status int
	head   http.Header
	body   []byte
}

func (r reply) code() string {
	var e coordapi.Error
	json.Unmarshal(r.body, &e)
	return e.Code
}

// call calls a handler, with a body that is JSON unless it is bytes.
func call(h http.Handler, method, path, token string, v any) reply {
	return do(h, newRequest(method, path, token, v))
}

func newRequest(method, path, token string, v any) *http.Request {
	var b io.Reader = http.NoBody
	switch v := v.(type) {
	case nil:
	case []byte:
		b = bytes.NewReader(v)
	default:
		j, _ := json.Marshal(v)
		b = bytes.NewReader(j)
	}
	r := httptest.NewRequest(method, path, b)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func do(h http.Handler, r *http.Request) reply {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.Bytes()}
}

func as[T any](t *testing.T, r reply) (v T) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("%d: %s", r.status, r.body)
	}
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	return v
}

func (c *coordinator) admin(method, path string, v any) reply {
	return call(c.AdminHandler(), method, coordapi.PathAdmin+path, "", v)
}

func (c *coordinator) newTailnet(name string) coordapi.Tailnet {
	c.t.Helper()
	return as[coordapi.Tailnet](c.t, c.admin("POST", "tailnets", coordapi.NewTailnet{Name: name}))
}

func (c *coordinator) newInvite(tailnet string, uses int) coordapi.Invite {
	c.t.Helper()
	made := as[coordapi.Invited](c.t, c.admin("POST", "tailnets/"+tailnet+"/invites", coordapi.NewInvite{Uses: uses, For: time.Hour}))
	i, err := coordapi.ParseInvite(made.Text)
	if err != nil || hex.EncodeToString(i.ID[:]) != made.ID || i.Contacts[0] != contact {
		c.t.Fatalf("%+v, %v", i, err)
	}
	return i
}

func (c *coordinator) tryJoin(k key.Private, credential, name string) reply {
	var ch coordapi.Challenge
	json.Unmarshal(call(c.Handler(), "POST", coordapi.PathChallenge, "", nil).body, &ch)
	return call(c.Handler(), "POST", coordapi.PathJoin, "", coordapi.Join{Invite: credential, Key: k.Public(), Name: name,
		Challenge: ch.Challenge, Proof: coordapi.Prove(k, ch, coordapi.ForJoin, credential)})
}

func (c *coordinator) join(k key.Private, i coordapi.Invite, name string) coordapi.Joined {
	c.t.Helper()
	return as[coordapi.Joined](c.t, c.tryJoin(k, i.Credential(), name))
}

func (c *coordinator) tryLogin(k key.Private, tailnet string) reply {
	var ch coordapi.Challenge
	json.Unmarshal(call(c.Handler(), "POST", coordapi.PathChallenge, "", nil).body, &ch)
	return call(c.Handler(), "POST", coordapi.PathLogin, "", coordapi.Login{Tailnet: tailnet, Key: k.Public(),
		Challenge: ch.Challenge, Proof: coordapi.Prove(k, ch, coordapi.ForLogin, tailnet)})
}

func (c *coordinator) report(token string, r coordapi.Report) reply {
	return call(c.Handler(), "PUT", coordapi.PathSelf, token, r)
}

// pipes is a listener of in-memory connections.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// serve answers over HTTP/1.1 in memory, until the test ends.
func (c *coordinator) serve() (dial func() net.Conn, stop func()) {
	p := &pipes{make(chan net.Conn), make(chan struct{}), sync.Once{}}
	srv := &http.Server{Handler: c.Handler()}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(p) })
	return func() net.Conn {
			a, b := net.Pipe()
			p.conns <- b
			return a
		}, func() {
			srv.Close()
			wg.Wait()
		}
}

// watcher reads a stream.
type watcher struct {
	conn net.Conn
	in   *bufio.Scanner
	body io.Closer
}

func watch(t *testing.T, conn net.Conn, path, token, since string) *watcher {
	t.Helper()
	go io.WriteString(conn, "GET "+path+"?since="+since+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%+v, %v", resp, err)
	}
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, coordapi.MostLine)
	return &watcher{conn, in, resp.Body}
}

func (w *watcher) next() (e coordapi.Event, err error) {
	if !w.in.Scan() {
		return e, errors.Join(io.EOF, w.in.Err())
	}
	return e, json.Unmarshal(w.in.Bytes(), &e)
}

// until reads up to and including a type, and returns all as "type name home".
func (w *watcher) until(t *testing.T, kind string) (said []string, last coordapi.Event) {
	t.Helper()
	for {
		e, err := w.next()
		if err != nil {
			t.Fatalf("after %q: %v", said, err)
		}
		text := e.Type
		if e.Peer != nil {
			text += " " + e.Peer.Name
		}
		said = append(said, text)
		if e.Type == kind {
			return said, e
		}
	}
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("%q, want %q", got, want)
	}
}
