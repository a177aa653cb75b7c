package edge

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/decoy"
)

// files is a directory with a page, and a file of some size.
func files(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{"index.html": []byte("<p>home"), "file": bytes.Repeat([]byte("0123456789abcdef"), size/16)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// request sends one over a connection that it leaves open.
func request(t *testing.T, c net.Conn, text string) *http.Response {
	t.Helper()
	send(t, c, []byte(strings.ReplaceAll(text, "\n", "\r\n")+"\r\n\r\n"))
	return must(http.ReadResponse(bufio.NewReader(c), nil))(t)
}

// A connection may be a visitor's first and a peer's afterwards, as those are that
// proxies keep; a site's pages have no headers of ours.
func TestASiteBesideTheRelay(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t), Home: files(t, 100)})
	c := dialTLS(t, s, tls.VersionTLS13)
	for range 3 {
		answer := request(t, c, "GET / HTTP/1.1\nHost: x")
		if body := must(io.ReadAll(answer.Body))(t); answer.StatusCode != 200 || string(body) != "<p>home" || answer.Header.Get("Content-Security-Policy") != "" {
			t.Errorf("%d %s %v", answer.StatusCode, body, answer.Header)
		}
	}
	eventually(t, "the connection is a stranger again", func() bool { return s.Snapshot().Pending == 1 && s.Foreign() == 0 })
	p := newPeer(s.config.Relay.PublicKey())
	send(t, c, append([]byte(testVectors(t).HTTP.FastStart.Request), p.clientInfo()...))
	wantBytes(t, c, testVectors(t).HTTP.ReplyFastStart)
	p.wantServed(t, c)
	if got := s.Snapshot(); got.Site.Answered != 3 || got.Pending != 0 || got.FastStart != 1 {
		t.Errorf("%+v", got)
	}
}

// Beyond the bound of foreign connections visitors are turned away, and peers are not.
func TestVisitorsAreBounded(t *testing.T) {
	s := start(t, Config{Home: files(t, 64<<20), PendingTimeout: timeout, MaxForeign: 1})
	c := dial(t, s)
	send(t, c, []byte("GET /file HTTP/1.1\r\nHost: x\r\n\r\n"))
	eventually(t, "one is served", func() bool { return s.Foreign() == 1 })
	if answer, _ := ask(t, s, "GET", "/"); answer.StatusCode != 503 || answer.Header.Get("Retry-After") != "1" {
		t.Errorf("one more is answered with %d", answer.StatusCode)
	}
	if answer, _ := ask(t, s, "GET", "/derp/probe"); answer.StatusCode != 200 {
		t.Errorf("the relay answers with %d meanwhile", answer.StatusCode)
	}
	login(t, s)
	c.Close()
	eventually(t, "he has left", func() bool { return s.Foreign() == 0 && s.Snapshot().Pending == 0 })
	if got := s.Snapshot(); got.Site.Busy != 1 || got.Site.Answered != 1 {
		t.Errorf("%+v", got)
	}
}

// Who takes nothing at all has no more time than a stranger.
func TestAVisitorThatStalls(t *testing.T) {
	s := start(t, Config{Home: files(t, 64<<20), PendingTimeout: 100 * time.Millisecond})
	c := dial(t, s)
	send(t, c, []byte("GET /file HTTP/1.1\r\nHost: x\r\n\r\n"))
	eventually(t, "he is served", func() bool { return s.Snapshot().Site.Answered == 1 })
	eventually(t, "he is cut", func() bool { return s.Foreign() == 0 && s.Snapshot().Pending == 0 })
	if n, err := io.Copy(io.Discard, c); n >= 64<<20 {
		t.Errorf("all %d bytes came (%v)", n, err)
	}
}

// A server behind the relay has visitors for as long as something moves, which may be
// longer than strangers have; and WebSockets of its own.
func TestAServerBehindTheRelay(t *testing.T) {
	const life, pause, pauses = 1500 * time.Millisecond, 100 * time.Millisecond, 20
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ws":
			echoMessages(w, r)
		case "/down":
			for range pauses {
				time.Sleep(pause)
				io.WriteString(w, "x")
				http.NewResponseController(w).Flush()
			}
		default:
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "%d bytes, %v, from %s", n, err, r.Header.Get("X-Forwarded-For"))
		}
	}))
	defer web.Close()
	s := start(t, Config{TLS: selfTLS(t), Home: "proxy:" + web.URL, PendingTimeout: life})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: timeout}
	defer client.CloseIdleConnections()
	want := func(answer *http.Response, err error, text string) {
		if err != nil {
			t.Error(err)
			return
		}
		defer answer.Body.Close()
		if body, err := io.ReadAll(answer.Body); string(body) != text {
			t.Errorf("%s (%v), want %s", body, err, text)
		}
	}
	ws, _, err := websocket.Dial(t.Context(), "wss://"+s.Addr().String()+"/ws", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.CloseNow()
	var both sync.WaitGroup
	both.Go(func() {
		answer, err := client.Post("https://"+s.Addr().String()+"/up", "", io.MultiReader(slowly{pauses, pause}.reader(), bytes.NewReader(noise(300_000))))
		want(answer, err, fmt.Sprintf("%d bytes, <nil>, from 127.0.0.1", pauses+300_000))
	})
	both.Go(func() {
		answer, err := client.Get("https://" + s.Addr().String() + "/down")
		want(answer, err, strings.Repeat("x", pauses))
	})
	both.Wait()
	if err := ws.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := ws.Read(t.Context()); err != nil || string(message) != "hello" {
		t.Fatalf("%s, %v", message, err)
	}
	eventually(t, "there is only the WebSocket", func() bool { return s.Foreign() == 1 })
	wantServedAs(t, s, "")
	shutDown(t, s.Shutdown) // ends it
	if _, _, err := ws.Read(t.Context()); err == nil {
		t.Error("the WebSocket is open")
	}
}

func echoMessages(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// slowly says so many bytes, one after a while.
type slowly struct {
	n    int
	each time.Duration
}

func (s slowly) reader() io.Reader {
	r, w := io.Pipe()
	go func() {
		for range s.n {
			time.Sleep(s.each)
			w.Write([]byte("x"))
		}
		w.Close()
	}()
	return r
}

// Another home is for requests to come, also on connections that are there; nothing is
// kept of the one before.
func TestHomeIsLive(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "web") }))
	defer web.Close()
	s := start(t, Config{Home: "proxy:" + web.URL})
	want := func(text string) {
		t.Helper()
		if _, body := ask(t, s, "GET", "/"); body != text {
			t.Errorf("%q, want %q", body, text)
		}
	}
	want("web")
	change(t, s, Config{Home: files(t, 16)})
	want("<p>home")
	change(t, s, Config{Home: decoy.Blank})
	want("")
	before := s.now.Load().home
	change(t, s, Config{Home: decoy.Blank, MaxConns: 7})
	if s.now.Load().home != before {
		t.Error("a home that stays is made anew")
	}
}

// With big downloads beside them, peers' packets arrive, all of them.
func TestDownloadsDoNotStarveTheRelay(t *testing.T) {
	s := start(t, Config{TLS: selfTLS(t), Home: files(t, 8<<20)})
	var loads sync.WaitGroup
	defer loads.Wait()
	for range 4 {
		loads.Go(func() {
			c, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if n, err := io.Copy(io.Discard, c); err != nil || n < 8<<20 {
				t.Errorf("%d bytes: %v", n, err)
			}
		})
	}
	eventually(t, "they are under way", func() bool { return s.Foreign() > 0 })
	p := newPeer(s.config.Relay.PublicKey())
	c := dialTLS(t, s, tls.VersionTLS13)
	send(t, c, append([]byte(testVectors(t).HTTP.FastStart.Request), p.clientInfo()...))
	wantBytes(t, c, testVectors(t).HTTP.ReplyFastStart)
	p.wantServed(t, c)
	for range 200 {
		packet := noise(1000)
		send(t, c, derp.AppendSendPacket(nil, p.key.Public(), packet))
		kind, payload := frame(t, c)
		if _, got, err := derp.ParseRecvPacket(payload); kind != derp.FrameRecvPacket || !bytes.Equal(got, packet) {
			t.Fatalf("received %v (%v)", kind, err)
		}
	}
}

// fingerprint is all of an answer that an observer sees, without what is of the moment.
func fingerprint(answer *http.Response, body string) string {
	var lines []string
	for name, values := range answer.Header {
		if name != "Date" {
			lines = append(lines, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(lines)
	return fmt.Sprint(answer.Status, answer.ContentLength, answer.TransferEncoding, lines, body)
}

// Where the relay is discreet, nothing but a DERP client's own requests tells that there
// is one.
func TestDiscretion(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such page", http.StatusNotFound) }))
	defer web.Close()
	for _, home := range []string{files(t, 16), "proxy:" + web.URL, decoy.Blank, "https://example.com/"} {
		s := start(t, Config{Home: home, Discreet: true})
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			answer, body := ask(t, s, method, "/nothing/here", "Accept: */*")
			want := fingerprint(answer, body)
			for _, path := range []string{"/derp", "/derp/probe", "/derp/latency-check", "/generate_204", "/robots.txt", "/bootstrap-dns"} {
				for _, header := range []string{"X: y", "Upgrade: h2c", "X-Tailscale-Challenge: a b"} {
					answer, body := ask(t, s, method, path, "Accept: */*", header)
					if got := fingerprint(answer, body); got != want {
						t.Errorf("%s: %s %s, %s:\n%s, want\n%s", home, method, path, header, got, want)
					}
				}
			}
		}
		for path, headers := range map[string][]string{"/derp/probe": {"Accept: */*", "Origin: https://x"}, "/derp/latency-check": nil, "/generate_204": {"X-Tailscale-Challenge: ts_x"}} {
			if answer, _ := ask(t, s, "GET", path, headers...); answer.StatusCode > 299 || path != "/generate_204" && answer.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s: %s for a client: %d", home, path, answer.StatusCode)
			}
		}
		login(t, s)
	}
}
