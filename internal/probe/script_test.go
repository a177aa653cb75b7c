package probe

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// script is a relay that keeps to the protocol but where it is told not to. Zero
// fields do nothing.
type script struct {
	key   key.Private
	limit derp.ServerInfo

	admit   func() bool                                                  // nil: everybody
	admitAs func(derp.ClientInfo) bool                                   // nil: everybody
	before  []byte                                                       // goes out before ServerInfo
	packet  func(src, dst key.Public, data []byte) (key.Public, []byte)  // what becomes of a packet; nil data: nothing
	pong    func([derp.PingLen]byte) []byte                              // the answer to a Ping
	http    func(w http.ResponseWriter, r *http.Request) (answered bool) // comes first
	greet   func() key.Private                                           // whose key to use; nil: key
	mu      sync.Mutex
	peers   map[key.Public]*scriptPeer
}

type scriptPeer struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *scriptPeer) write(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.w.Write(b)
}

func newScript() *script {
	return &script{key: key.NewPrivate(), peers: make(map[key.Public]*scriptPeer)}
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.http != nil && s.http(w, r) {
		return
	}
	switch {
	case r.URL.Path == "/derp/probe", r.URL.Path == "/derp/latency-check":
		w.Header().Set("Access-Control-Allow-Origin", "*")
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"derp"}})
		if err == nil {
			conn := websocket.NetConn(r.Context(), ws, websocket.MessageBinary)
			s.serve(bufio.NewReader(conn), conn)
			ws.CloseNow()
		}
	case strings.EqualFold(r.Header.Get("Upgrade"), "derp"):
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err == nil {
			defer conn.Close()
			if r.Header.Get("Derp-Fast-Start") == "" {
				io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n")
			}
			s.serve(rw.Reader, conn)
		}
	default:
		http.Error(w, "no upgrade", http.StatusUpgradeRequired)
	}
}

func frame(r io.Reader) (derp.FrameType, []byte, error) {
	header := make([]byte, derp.HeaderLen)
	if _, err := io.ReadFull(r, header); err != nil {
		return 0, nil, err
	}
	t, n := derp.ParseHeader(header)
	payload := make([]byte, n)
	_, err := io.ReadFull(r, payload)
	return t, payload, err
}

func (s *script) serve(r io.Reader, w io.Writer) {
	private := s.key
	if s.greet != nil {
		private = s.greet()
	}
	w.Write(derp.AppendServerKey(nil, private.Public()))
	_, payload, err := frame(r)
	if err != nil {
		return
	}
	self, sealed, err := derp.ParseClientInfo(payload)
	if err != nil {
		return
	}
	box := private.Box(self)
	info, err := derp.OpenClientInfo(sealed, &box)
	if err != nil || s.admit != nil && !s.admit() || s.admitAs != nil && !s.admitAs(info) {
		return
	}
	p := &scriptPeer{w: w}
	s.mu.Lock()
	s.peers[self] = p
	s.mu.Unlock()
	p.write(derp.AppendServerInfo(s.before, &box, s.limit))
	for {
		t, payload, err := frame(r)
		if err != nil {
			return
		}
		s.take(p, self, t, payload)
	}
}

func (s *script) take(p *scriptPeer, self key.Public, t derp.FrameType, payload []byte) {
	switch t {
	case derp.FrameSendPacket:
		dst, data, err := derp.ParseSendPacket(payload)
		if err != nil {
			return
		}
		src := self
		if s.packet != nil {
			src, data = s.packet(self, dst, data)
		}
		s.mu.Lock()
		to := s.peers[dst]
		s.mu.Unlock()
		if to != nil && data != nil {
			to.write(derp.AppendRecvPacket(nil, src, data))
		}
	case derp.FramePing:
		data, err := derp.ParsePing(payload)
		if err == nil && s.pong == nil {
			p.write(derp.AppendPong(nil, data))
		} else if err == nil {
			p.write(s.pong(data))
		}
	}
}

// startScript serves a script behind a certificate that is not followed by a meta
// certificate.
func startScript(t *testing.T, s *script) (checks func(Config) []Check) {
	t.Helper()
	cert := goodCert(t)
	port := serve(t, cert, s)
	return func(cfg Config) []Check {
		t.Helper()
		return checkedNode(t, cfg, mapNode("900a", port, cert))
	}
}
