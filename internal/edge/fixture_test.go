package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
	"go.uber.org/goleak"
)

// With -loops, what is upgraded is read by so many event loops; without, by Go's poller.
var (
	loopCount = flag.Int("loops", 0, "event loops to read what is upgraded (Linux); 0: Go's poller does")
	loops     *netio.Loops
)

type looped struct{ *testing.M }

func (m looped) Run() int {
	flag.Parse()
	if *loopCount == 0 {
		return m.M.Run()
	}
	var err error
	if loops, err = netio.NewLoops(*loopCount); err != nil {
		panic(err)
	}
	defer loops.Close()
	return m.M.Run()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(looped{m}) }

func listenOver(c Config) (*Server, error) {
	c.Loops = loops
	return Listen(c)
}

// timeout bounds every wait of a test for something that must happen.
const timeout = 2 * time.Minute

// vectors are the parts of the protocol's test vectors that concern this package.
type vectors struct {
	Keys []struct {
		Name    string
		Private string `json:"private_text"`
	}
	HTTP struct {
		FastStart      httpVector `json:"tls13_meta_cert_faststart"`
		Classic        httpVector `json:"tls13_no_meta_cert"`
		Classic12      httpVector `json:"tls12_with_meta_cert"`
		Plain          httpVector `json:"plain_http_upgrade"`
		NotIdeal       httpVector `json:"second_node_not_ideal"`
		Watcher        httpVector `json:"mesh_watch"`
		ReplyClassic   hexBytes   `json:"server_reply_upgrade_derp_hex"`
		ReplyWebSocket hexBytes   `json:"server_reply_upgrade_websocket_no_subprotocol_hex"`
		ReplyFastStart hexBytes   `json:"server_reply_faststart_hex"`
	}
	Generate204 []struct {
		CacheControl string `json:"cache_control"`
		Challenge    string
		HasResponse  bool   `json:"has_response_header"`
		Response     string `json:"response_header"`
		Status       int
	} `json:"generate_204"`
}

type httpVector struct{ Request string }

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

var readVectors = sync.OnceValues(func() (v vectors, err error) {
	text, err := os.ReadFile(filepath.Join("..", "..", "derp", "testdata", "vectors.json"))
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	return v, err
})

func testVectors(t *testing.T) vectors {
	t.Helper()
	return must(readVectors())(t)
}

// vectorKey returns a key of the vectors by its name.
func vectorKey(t *testing.T, name string) key.Private {
	t.Helper()
	for _, k := range testVectors(t).Keys {
		if k.Name == name {
			return must(key.ParsePrivate(k.Private))(t)
		}
	}
	t.Fatalf("no key %q in the vectors", name)
	return key.Private{}
}

// must returns the value of a call that may not fail: must(f())(t).
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// testRelay is a relay with the vectors' server key that ends with the test.
func testRelay(t *testing.T, mesh ...key.Mesh) *relay.Server {
	t.Helper()
	r := must(relay.New(relay.Config{Key: vectorKey(t, "server"), MeshKeys: mesh}))(t)
	t.Cleanup(func() { shutDown(t, r.Shutdown) })
	return r
}

// selfTLS is a TLS configuration with a self-signed certificate for 127.0.0.1.
func selfTLS(t *testing.T) *tls.Config {
	t.Helper()
	source := must(certs.OpenSelf(certs.SelfConfig{Host: "127.0.0.1", StateDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}))(t)
	return certs.TLSConfig(source, must(certs.NewMeta(vectorKey(t, "server").Public()))(t))
}

// start runs a server on a free port of 127.0.0.1 until the test ends.
func start(t *testing.T, config Config) *Server {
	t.Helper()
	config.Listen = "127.0.0.1:0"
	if config.Relay == nil {
		config.Relay = testRelay(t)
	}
	s := must(listenOver(config))(t)
	run(t, s)
	return s
}

func run(t *testing.T, s *Server) {
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		shutDown(t, s.config.Relay.Shutdown)
		shutDown(t, s.Shutdown)
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func shutDown(t *testing.T, shutdown func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// dial connects to a server over TCP.
func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c := must(net.Dial("tcp", s.Addr().String()))(t)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(timeout))
	return c
}

// dialTLS connects to a server over TLS of one version.
func dialTLS(t *testing.T, s *Server, version uint16) *tls.Conn {
	t.Helper()
	c := tls.Client(dial(t, s), &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

// send writes bytes in one piece.
func send(t *testing.T, c io.Writer, b []byte) {
	t.Helper()
	must(c.Write(b))(t)
}

// wantBytes reads exactly what is expected.
func wantBytes(t *testing.T, c io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("received %q (%v), want %q", got[:n], err, want)
	}
}

// wantEnd reads to the end of a connection that must have nothing left.
func wantEnd(t *testing.T, c io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(c); len(rest) != 0 || os.IsTimeout(err) {
		t.Fatalf("received %q (%v), want the end", rest, err)
	}
}

// frame reads one frame.
func frame(t *testing.T, c io.Reader) (derp.FrameType, []byte) {
	t.Helper()
	header := make([]byte, derp.HeaderLen)
	if _, err := io.ReadFull(c, header); err != nil {
		t.Fatalf("reading a frame: %v", err)
	}
	kind, n := derp.ParseHeader(header)
	payload := make([]byte, n)
	if _, err := io.ReadFull(c, payload); err != nil {
		t.Fatalf("reading a %v frame of %d bytes: %v", kind, n, err)
	}
	return kind, payload
}

// peer is the far side of a login.
type peer struct {
	key key.Private
	box *key.Box
}

func newPeer(server key.Public) peer {
	k := key.NewPrivate()
	box := k.Box(server)
	return peer{k, &box}
}

func (p peer) clientInfo() []byte {
	return derp.AppendClientInfo(nil, p.key.Public(), p.box, derp.ClientInfo{Version: derp.ProtocolVersion, CanAckPings: true})
}

// wantServed reads the greeting's answer and has a packet to the peer itself
// come back, which proves that the relay serves the stream.
func (p peer) wantServed(t *testing.T, c io.ReadWriter) {
	t.Helper()
	if kind, payload := frame(t, c); kind != derp.FrameServerInfo {
		t.Fatalf("received %v, want ServerInfo", kind)
	} else if _, err := derp.OpenServerInfo(payload, p.box); err != nil {
		t.Fatal(err)
	}
	packet := []byte("a packet")
	send(t, c, derp.AppendSendPacket(nil, p.key.Public(), packet))
	kind, payload := frame(t, c)
	if kind != derp.FrameRecvPacket {
		t.Fatalf("received %v, want RecvPacket", kind)
	}
	src, got, err := derp.ParseRecvPacket(payload)
	if err != nil || src != p.key.Public() || !bytes.Equal(got, packet) {
		t.Fatalf("received %q from %v (%v), want %q from %v", got, src, err, packet, p.key.Public())
	}
}

// eventually waits until a condition holds that another goroutine brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}
