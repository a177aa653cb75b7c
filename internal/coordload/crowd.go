package coordload

import (
	"bufio"
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
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// sourceAddrs is how many loopback addresses a crowd comes from.
const sourceAddrs = 250

// A Member is who it is to the coordinator, and its session.
type Member struct {
	Tailnet string
	Key     key.Private

	mu      sync.Mutex
	session string // guarded by mu
	cursor  string // guarded by mu: the last that was seen
	seq     uint64 // guarded by mu
}

// Config says where the coordinators are.
type Config struct {
	Addrs []string    // host:port, of loopback; members take them in turns
	TLS   *tls.Config // nil: plain HTTP. With a session cache, connections are resumed
	Boot  uint64      // of all members' reports
}

// A Crowd is members in this process.
type Crowd struct {
	cfg     Config
	members []*Member
	client  *http.Client
}

// New makes a crowd; nobody connects yet.
func New(cfg Config, members []*Member) (*Crowd, error) {
	for _, addr := range cfg.Addrs {
		at, err := netip.ParseAddrPort(addr)
		if err != nil || !at.Addr().IsLoopback() {
			return nil, fmt.Errorf("%q: want the address and port of a coordinator on loopback", addr)
		}
	}
	if len(cfg.Addrs) == 0 || len(members) == 0 {
		return nil, errors.New("want coordinators and members")
	}
	c := &Crowd{cfg: cfg, members: members}
	c.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		MaxIdleConnsPerHost: sourceAddrs, TLSClientConfig: cfg.TLS.Clone(),
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return dial(ctx, addr, int(spread.Add(1)))
		},
	}}
	return c, nil
}

// spread numbers connections, so that they come from many addresses.
var spread atomic.Uint32

func dial(ctx context.Context, addr string, n int) (net.Conn, error) {
	d := net.Dialer{}
	if to, err := netip.ParseAddrPort(addr); err == nil && to.Addr().Is4() {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+n%sourceAddrs))}
	}
	return d.DialContext(ctx, "tcp", addr)
}

// place is which coordinator a member goes to, with a try of the next after each failure.
func (c *Crowd) place(i, try int) int { return (i + try) % len(c.cfg.Addrs) }

func (c *Crowd) addr(i, try int) string { return c.cfg.Addrs[c.place(i, try)] }

func (c *Crowd) url(addr, path string) string {
	if c.cfg.TLS == nil {
		return "http://" + addr + path
	}
	return "https://" + addr + path
}

// Each calls f for all members, so many at a time, and returns the first error.
func (c *Crowd) Each(ctx context.Context, atOnce int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(atOnce, len(c.members)) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(c.members) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := f(ctx, i); err != nil {
					cancel(fmt.Errorf("member %d: %w", i, err))
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// LogIn gets member i a session. Who is told to wait does so.
func (c *Crowd) LogIn(ctx context.Context, i int) error {
	for {
		err := c.logIn(ctx, i)
		refused := new(coordapi.Error)
		if !errors.As(err, &refused) || refused.Code != coordapi.CodeTooMany {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Join makes member i one with an invite's credential, and gets it a session. Who is
// one already gets only that.
func (c *Crowd) Join(ctx context.Context, i int, credential, name string) error {
	var challenge coordapi.Challenge
	if err := c.call(ctx, i, http.MethodPost, coordapi.PathChallenge, nil, &challenge); err != nil {
		return err
	}
	own := c.members[i].Key
	var joined coordapi.Joined
	if err := c.call(ctx, i, http.MethodPost, coordapi.PathJoin, coordapi.Join{
		Invite: credential, Key: own.Public(), Name: name, Challenge: challenge.Challenge,
		Proof: coordapi.Prove(own, challenge, coordapi.ForJoin, credential),
	}, &joined); err != nil {
		return err
	}
	c.members[i].hold(joined.Session)
	return nil
}

func (c *Crowd) logIn(ctx context.Context, i int) error {
	m := c.members[i]
	var challenge coordapi.Challenge
	if err := c.call(ctx, i, http.MethodPost, coordapi.PathChallenge, nil, &challenge); err != nil {
		return err
	}
	login := coordapi.Login{
		Tailnet: m.Tailnet, Key: m.Key.Public(), Challenge: challenge.Challenge,
		Proof: coordapi.Prove(m.Key, challenge, coordapi.ForLogin, m.Tailnet),
	}
	var session coordapi.Session
	if err := c.call(ctx, i, http.MethodPost, coordapi.PathLogin, login, &session); err != nil {
		return err
	}
	m.hold(session)
	return nil
}

// Report says where member i is, and returns once that is stored. The disco key tells
// reports of one member apart.
func (c *Crowd) Report(ctx context.Context, i, home int, disco key.Public) error {
	m := c.members[i]
	m.mu.Lock()
	m.seq++
	report := coordapi.Report{Boot: c.cfg.Boot, Seq: m.seq, Home: home, Disco: disco, Version: "load"}
	m.mu.Unlock()
	return c.call(ctx, i, http.MethodPut, coordapi.PathSelf, report, nil)
}

// call asks for one thing. It goes to the member's coordinator, and to no other.
func (c *Crowd) call(ctx context.Context, i int, method, path string, said, got any) error {
	var body io.Reader
	if said != nil {
		text, err := json.Marshal(said)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url(c.addr(i, 0), path), body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.members[i].token())
	answer, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, coordapi.MostLine))
	if err != nil {
		return err
	}
	return understand(answer.StatusCode, text, got)
}

func understand(status int, text []byte, got any) error {
	switch {
	case status != http.StatusOK:
		refused := &coordapi.Error{Status: status}
		if err := json.Unmarshal(text, refused); err != nil {
			return fmt.Errorf("status %d", status)
		}
		return refused
	case got == nil:
		return nil
	}
	return json.Unmarshal(text, got)
}

func (m *Member) hold(s coordapi.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.session = s.Token
}

func (m *Member) token() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

// A Sink is told what streams say, in their goroutines.
type Sink interface {
	// Event is a line of member i's stream; e is only good until it returns.
	Event(i int, e *coordapi.Event)
}

// Watch holds member i's stream until ctx or the stream ends, and returns why. It
// goes on after the last cursor. try says how many coordinators to pass over.
func (c *Crowd) Watch(ctx context.Context, i, try int, sink Sink) error {
	m := c.members[i]
	conn, err := c.connect(ctx, i, try)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	m.mu.Lock()
	since, token := m.cursor, m.session
	m.mu.Unlock()
	if _, err := fmt.Fprintf(conn, "GET %s?since=%s HTTP/1.1\r\nHost: coordinator\r\nAuthorization: Bearer %s\r\n\r\n", coordapi.PathWatch, since, token); err != nil {
		return err
	}
	br := bufio.NewReaderSize(conn, 1<<10)
	answer, err := http.ReadResponse(br, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, coordapi.MostBody))
		return understand(answer.StatusCode, text, nil)
	}
	return c.follow(i, answer.Body, sink)
}

func (c *Crowd) connect(ctx context.Context, i, try int) (net.Conn, error) {
	conn, err := dial(ctx, c.addr(i, try), i)
	if err != nil || c.cfg.TLS == nil {
		return conn, err
	}
	secure := tls.Client(conn, c.cfg.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

func (c *Crowd) follow(i int, body io.Reader, sink Sink) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 512), coordapi.MostLine)
	var e coordapi.Event
	for lines.Scan() {
		e = coordapi.Event{}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("a line that is no event: %w", err)
		}
		if e.Type == coordapi.EventAt && e.Cursor != "" {
			c.members[i].mu.Lock()
			c.members[i].cursor = e.Cursor
			c.members[i].mu.Unlock()
		}
		sink.Event(i, &e)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// Close closes the connections that calls have left open.
func (c *Crowd) Close() { c.client.CloseIdleConnections() }
