package edge

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/coder/websocket"
)

// witness watches the objects of net/http behind every request a server
// handles, and counts those the garbage collector took back.
type witness struct {
	inner   http.Handler
	watched atomic.Int64
	freed   atomic.Int64
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	response := reflect.ValueOf(rw)                              // *http.response
	w.watch(unsafe.Pointer(r))                                   //
	w.watch(response.UnsafePointer())                            //
	w.watch(response.Elem().FieldByName("conn").UnsafePointer()) // *http.conn, with its buffers
	w.watch(reflect.ValueOf(r.Context()).UnsafePointer())        // the request's context
	w.inner.ServeHTTP(rw, r)
}

func (w *witness) watch(object unsafe.Pointer) {
	w.watched.Add(1)
	runtime.AddCleanup((*byte)(object), func(struct{}) { w.freed.Add(1) }, struct{}{})
}

// witnessed runs a server whose requests are watched.
func witnessed(t *testing.T, config Config) (*Server, *witness) {
	config.Relay = testRelay(t)
	config.Listen = "127.0.0.1:0"
	s := must(listenOver(config))(t)
	w := &witness{inner: s.http.Handler}
	s.http.Handler = w
	run(t, s)
	return s, w
}

func (w *witness) wantAllFreed(t *testing.T, requests int64) {
	t.Helper()
	if n := w.watched.Load(); n != 4*requests {
		t.Fatalf("%d objects of net/http seen, want 4 for each of %d requests", n, requests)
	}
	for deadline := time.Now().Add(timeout); w.freed.Load() < w.watched.Load(); time.Sleep(time.Millisecond) {
		runtime.GC()
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d objects of net/http are still reachable while the conns are up", w.watched.Load()-w.freed.Load(), w.watched.Load())
		}
	}
}

// While conns are up, nothing of net/http is reachable from them any more. That
// is what keeps an idle conn small.
func TestNothingOfHTTPStaysReachable(t *testing.T) {
	v := testVectors(t).HTTP
	server := vectorKey(t, "server").Public()
	for name, c := range map[string]struct {
		config Config
		dial   func(*Server) io.ReadWriter
	}{
		"plain":   {Config{}, func(s *Server) io.ReadWriter { return dial(t, s) }},
		"TLS 1.2": {Config{TLS: selfTLS(t)}, func(s *Server) io.ReadWriter { return dialTLS(t, s, tls.VersionTLS12) }},
		"TLS 1.3": {Config{TLS: selfTLS(t)}, func(s *Server) io.ReadWriter { return dialTLS(t, s, tls.VersionTLS13) }},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := witnessed(t, c.config)
			conns := make(map[*peer]io.ReadWriter)
			for _, request := range []string{v.FastStart.Request, v.FastStart.Request, v.FastStart.Request} {
				p := newPeer(server)
				conn := c.dial(s)
				send(t, conn, slices.Concat([]byte(request), p.clientInfo()))
				wantBytes(t, conn, v.ReplyFastStart)
				conns[&p] = conn
			}
			w.wantAllFreed(t, 3)
			for p, conn := range conns { // and they are up indeed
				p.wantServed(t, conn)
			}
		})
	}
}

func TestNothingOfHTTPStaysReachableBehindWebSocket(t *testing.T) {
	s, w := witnessed(t, Config{TLS: selfTLS(t)})
	ws, _, err := dialWebSocket(t, s, "derp")
	if err != nil {
		t.Fatal(err)
	}
	c := webSocketStream(t, ws)
	p := newPeer(s.config.Relay.PublicKey())
	frame(t, c)
	send(t, c, p.clientInfo())
	w.wantAllFreed(t, 1)
	p.wantServed(t, c)
	ws.Close(websocket.StatusNormalClosure, "")
}

// The witness itself works: what a handler still holds is not freed.
func TestWitnessSeesWhatIsHeld(t *testing.T) {
	s, w := witnessed(t, Config{})
	entered, leave := make(chan struct{}), make(chan struct{})
	inner := w.inner
	w.inner = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		inner.ServeHTTP(rw, r)
	})
	c := dial(t, s)
	send(t, c, []byte("GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n"))
	<-entered
	for range 5 {
		runtime.GC()
	}
	if n := w.freed.Load(); n != 0 {
		t.Errorf("%d objects freed under a running handler", n)
	}
	close(leave)
	response := must(http.ReadResponse(bufio.NewReader(c), nil))(t)
	if response.StatusCode != 200 {
		t.Errorf("status %d", response.StatusCode)
	}
}

// seenListener counts the connections it accepts that are still reachable.
type seenListener struct {
	net.Listener
	reachable atomic.Int64
}

func (l *seenListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	seen := &struct{ net.Conn }{c}
	l.reachable.Add(1)
	runtime.AddCleanup(seen, func(struct{}) { l.reachable.Add(-1) }, struct{}{})
	return seen, nil
}

// A WebSocket leaves nothing behind, however it ends.
func TestNothingOfAWebSocketStays(t *testing.T) {
	write := func(ws *websocket.Conn, kind websocket.MessageType, p string) {
		must(0, ws.Write(t.Context(), kind, []byte(p)))(t)
	}
	for name, end := range map[string]func(*websocket.Conn){
		"closed":       func(ws *websocket.Conn) { ws.Close(websocket.StatusNormalClosure, "") },
		"gone":         func(ws *websocket.Conn) { ws.CloseNow() },
		"too slow":     func(ws *websocket.Conn) { write(ws, websocket.MessageBinary, "\x02") },
		"no DERP":      func(ws *websocket.Conn) { write(ws, websocket.MessageBinary, "hello") },
		"text message": func(ws *websocket.Conn) { write(ws, websocket.MessageText, "hello") },
	} {
		t.Run(name, func(t *testing.T) {
			l := &seenListener{Listener: must(net.Listen("tcp", "127.0.0.1:0"))(t)}
			s := start(t, Config{Listener: l, TLS: selfTLS(t), PendingTimeout: time.Second})
			ws, _, err := dialWebSocket(t, s, "derp")
			if err != nil {
				t.Fatal(err)
			}
			end(ws)
			eventually(t, "the conn gone", func() bool { return s.Snapshot().Serving == 0 && s.Snapshot().Pending == 0 })
			eventually(t, "the conn collected", func() bool { runtime.GC(); return l.reachable.Load() == 0 })
		})
	}
}
