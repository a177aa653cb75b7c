package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// testRelay listens on loopback and plays a script for each connection, in frames.
type testRelay struct {
	t        testing.TB
	key      key.Private
	listener net.Listener
	tls      *tls.Config // nil: plain

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

// side is the relay's side of one connection.
type side struct {
	t    testing.TB
	key  key.Private
	conn net.Conn
	br   *bufio.Reader
	peer key.Public // after login
	box  key.Box
}

func newSide(t testing.TB, private key.Private, conn net.Conn) *side {
	return &side{t: t, key: private, conn: conn, br: bufio.NewReader(conn)}
}

// startRelay plays script for every connection. Scripts that fail on a closed
// connection just end.
func startRelay(t testing.TB, private key.Private, config *tls.Config, script func(*side)) *testRelay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &testRelay{t: t, key: private, listener: listener, tls: config}
	r.wg.Go(func() { r.accept(script) })
	t.Cleanup(r.stop)
	return r
}

func (r *testRelay) accept(script func(*side)) {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns = append(r.conns, conn)
		r.mu.Unlock()
		r.wg.Go(func() {
			defer conn.Close()
			if r.tls != nil {
				conn = tls.Server(conn, r.tls)
			}
			script(newSide(r.t, r.key, conn))
		})
	}
}

func (r *testRelay) stop() {
	r.listener.Close()
	r.mu.Lock()
	for _, conn := range r.conns {
		conn.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// connections returns how many were accepted so far.
func (r *testRelay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// config returns a Config that reaches the relay whatever the host in the URL is.
func (r *testRelay) config(t testing.TB, rawURL string) Config {
	cfg := Config{URL: rawURL, Key: key.NewPrivate(), Proxy: noProxy}
	cfg.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, r.listener.Addr().String())
	}
	return cfg
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// request reads an HTTP request and returns it as it came.
func (s *side) request() (string, bool) {
	var head strings.Builder
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		line, err := s.br.ReadString('\n')
		head.WriteString(line)
		if err != nil {
			return head.String(), false
		}
	}
	return head.String(), true
}

const switchingProtocols = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\nDerp-Version: 2\r\n\r\n"

// takeOver answers a request as a relay does, greets, and reads the login.
func (s *side) takeOver() (derp.ClientInfo, bool) {
	head, ok := s.request()
	if !ok {
		return derp.ClientInfo{}, false
	}
	var reply []byte
	if !strings.Contains(head, "Derp-Fast-Start: 1\r\n") {
		reply = []byte(switchingProtocols)
	}
	if !s.write(derp.AppendServerKey(reply, s.key.Public())) {
		return derp.ClientInfo{}, false
	}
	return s.readLogin()
}

func (s *side) readLogin() (info derp.ClientInfo, ok bool) {
	frame, payload, ok := s.read()
	if !ok {
		return info, false
	}
	if frame != derp.FrameClientInfo {
		s.t.Errorf("the login begins with %v", frame)
		return info, false
	}
	peer, sealed, err := derp.ParseClientInfo(payload)
	if err == nil {
		s.peer, s.box = peer, s.key.Box(peer)
		info, err = derp.OpenClientInfo(sealed, &s.box)
	}
	if err != nil {
		s.t.Error(err)
	}
	return info, err == nil
}

// admit is a whole login.
func (s *side) admit() bool {
	_, ok := s.takeOver()
	return ok && s.write(s.serverInfo(derp.ServerInfo{Version: 2}))
}

func (s *side) serverInfo(info derp.ServerInfo) []byte {
	return derp.AppendServerInfo(nil, &s.box, info)
}

func (s *side) write(b []byte) bool {
	_, err := s.conn.Write(b)
	return err == nil
}

func (s *side) read() (t derp.FrameType, payload []byte, ok bool) {
	var head [derp.HeaderLen]byte
	if _, err := io.ReadFull(s.br, head[:]); err != nil {
		return 0, nil, false
	}
	t, n := derp.ParseHeader(head[:])
	payload = make([]byte, n)
	_, err := io.ReadFull(s.br, payload)
	return t, payload, err == nil
}

// drain reads until the end of the connection.
func (s *side) drain() error {
	_, err := io.Copy(io.Discard, s.br)
	return err
}

// echo sends packets back to their sender until the end of the connection, and
// answers Pings.
func (s *side) echo() {
	for {
		t, payload, ok := s.read()
		if !ok {
			return
		}
		switch t {
		case derp.FrameSendPacket:
			_, packet, err := derp.ParseSendPacket(payload)
			if err != nil {
				s.t.Error(err)
				return
			}
			s.write(derp.AppendRecvPacket(nil, s.peer, packet))
		case derp.FramePing:
			data, err := derp.ParsePing(payload)
			if err != nil {
				s.t.Error(err)
				return
			}
			s.write(derp.AppendPong(nil, data))
		}
	}
}

// dial connects and has the connection closed at the end of the test.
func dial(t testing.TB, cfg Config) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// recv receives a message of a certain kind.
func recv(t testing.TB, c *Conn, want MessageKind) Message {
	t.Helper()
	msg, err := c.Recv(make([]byte, derp.MaxPacket))
	if err != nil {
		t.Fatal(err)
	}
	if msg.Kind != want {
		t.Fatalf("received %v (%+v), want %v", msg.Kind, msg, want)
	}
	return msg
}

// admitted is dial and the receipt of ServerInfo.
func admitted(t testing.TB, cfg Config) *Conn {
	t.Helper()
	c := dial(t, cfg)
	recv(t, c, MessageServerInfo)
	return c
}

// within fails the test if f does not return soon.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s takes too long", what)
	}
}

// greeting is what a relay says first.
func greeting(relay key.Private) []byte { return derp.AppendServerKey(nil, relay.Public()) }

var serverInfo2 = derp.ServerInfo{Version: 2}
