package proxies

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// A visitor is a peer that has come through the proxy. It reads all the time.
type visitor struct {
	conn *client.Conn
	key  key.Public
	got  chan []byte
	gone chan struct{} // closed at the end, after why was set
	why  error
}

// dialler connects to the stand's proxy from its own address.
func (s *stand) dialler() func(context.Context, string, string) (net.Conn, error) {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(s.from)}}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return from.DialContext(ctx, network, s.addr+":443")
	}
}

// config is what visitors come by.
func (s *stand) config(how client.WebSocketMode) client.Config {
	return client.Config{
		URL: "https://" + theName + "/derp", Key: key.NewPrivate(), RootCAs: s.roots, WebSocket: how,
		Proxy:       func(*http.Request) (*url.URL, error) { return nil, nil },
		DialContext: s.dialler(),
	}
}

// visit logs a peer in, until the test ends.
func visit(t *testing.T, cfg client.Config) *visitor {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := client.Login(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{conn: conn, key: cfg.Key.Public(), got: make(chan []byte, 4), gone: make(chan struct{})}
	go v.read()
	t.Cleanup(func() {
		conn.Close()
		<-v.gone
	})
	return v
}

func (v *visitor) read() {
	defer close(v.gone)
	buf := make([]byte, derp.MaxPacket)
	for {
		msg, err := v.conn.Recv(buf)
		if err != nil {
			v.why = err
			return
		}
		if msg.Kind == client.MessagePacket {
			select {
			case v.got <- bytes.Clone(msg.Packet):
			default:
			}
		}
	}
}

// tell has a packet go from one to the other.
func (v *visitor) tell(t *testing.T, to *visitor, size int) {
	t.Helper()
	packet := make([]byte, size)
	rand.Read(packet)
	if err := v.conn.Send(to.key, packet); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case got := <-to.got:
		if !bytes.Equal(got, packet) {
			t.Errorf("a packet of %d bytes arrives as one of %d, or changed", size, len(got))
		}
	case <-to.gone:
		t.Errorf("a packet of %d bytes: the receiver is cut: %v", size, to.why)
	case <-ctx.Done():
		t.Errorf("a packet of %d bytes does not arrive", size)
	}
}

// addressOf is where `detour peers list` says that the visitor comes from.
func (s *stand) addressOf(t *testing.T, v *visitor) string {
	t.Helper()
	out, status := detour(t, "peers", "list", "--json", "--admin-socket", s.path("state/admin.sock"))
	var list struct {
		Peers []struct {
			Key  key.Public
			Addr string // with a port where it is known
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || status != 0 {
		t.Fatalf("peers list: %v, exit status %d: %s", err, status, out)
	}
	for _, p := range list.Peers {
		if p.Key == v.key {
			host, _, err := net.SplitHostPort(p.Addr)
			if err != nil {
				host = p.Addr
			}
			return host
		}
	}
	t.Fatalf("not among the peers: %s", out)
	return ""
}

// liar is the config of a visitor whose request has more lines. It makes its TLS itself,
// so that the client's request is there to be added to.
func (s *stand) liar(lines string) client.Config {
	cfg := s.config(client.WebSocketNever)
	dial := cfg.DialContext
	cfg.URL = strings.Replace(cfg.URL, "https://", "http://", 1)
	cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &lying{tls.Client(raw, &tls.Config{RootCAs: s.roots, ServerName: theName}), lines}, nil
	}
	return cfg
}

// lying adds lines to the first request.
type lying struct {
	net.Conn
	lines string
}

// Write implements net.Conn.
func (l *lying) Write(p []byte) (int, error) {
	first, rest, found := bytes.Cut(p, []byte("\r\n"))
	if l.lines == "" || !found {
		return l.Conn.Write(p)
	}
	request := append([]byte(string(first)+"\r\n"+l.lines), rest...)
	l.lines = ""
	if _, err := l.Conn.Write(request); err != nil {
		return 0, err
	}
	return len(p), nil
}
