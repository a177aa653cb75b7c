package decoy

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/logtest"
)

const timeout = 2 * time.Minute

func TestCheck(t *testing.T) {
	for home, want := range map[string]string{
		"": "", "blank": "", "https://example.com/": "", "http://example.com": "", "/var/www": "", "proxy:http://127.0.0.1:8080": "", "proxy:https://web.test/base": "",
		"proxy:unix:/run/web.sock": "",
		"page":                     "want nothing for the default page", "https://": "want nothing", "ftp://x": "want nothing", "var/www": "write the whole path", "./www": "write the whole path",
		"~/www": "write the whole path", "proxy:": "want proxy: and the URL", "proxy:127.0.0.1:8080": "want proxy: and the URL", "proxy:ftp://x": "want proxy: and the URL", "proxy:http://": "want proxy: and the URL",
		"proxy:unix:web.sock": "write the whole path of the socket", "proxy:http://u:secret@x": "has a user", "proxy:http://x/?a=b": "a query",
	} {
		err := Check(home)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v, want %q", home, err, want)
		}
	}
}

// serve runs a home as a relay does.
func serve(t *testing.T, c Config) string {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if !h.Is(c.Home) || h.Is(c.Home+"x") {
		t.Error("it is not what it was made from")
	}
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.Close(); h.Close() })
	return server.URL
}

// ask sends a request line as it is, and headers.
func ask(t *testing.T, url, method, path string, headers ...string) (answer *http.Response, body string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(timeout))
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n%s\r\n", method, path, strings.Join(append(headers, ""), "\r\n"))
	if answer, err = http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method}); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

func TestPages(t *testing.T) {
	for home, want := range map[string]struct {
		status   int
		begins   string
		location string
	}{
		"": {200, "<!DOCTYPE html>", ""}, Blank: {200, "", ""}, "https://example.com/x": {302, "", "https://example.com/x"},
	} {
		answer, body := ask(t, serve(t, Config{Home: home}), "HEAD", "/any/thing")
		if answer.StatusCode != want.status || answer.Header.Get("Location") != want.location || body != "" {
			t.Errorf("%q: %d %v", home, answer.StatusCode, answer.Header)
		}
		if _, body := ask(t, serve(t, Config{Home: home}), "POST", "/"); !strings.HasPrefix(body, want.begins) {
			t.Errorf("%q: %s", home, body)
		}
	}
}

// site is a directory with files, and things that are not for visitors.
func site(t *testing.T) string {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "www")
	for name, text := range map[string]string{
		"index.html": "<p>home", "a.txt": "0123456789", "sub/index.html": "<p>sub", "sub dir?/index.html": "<p>strange", "empty/x.css": "p{}", ".env": "secret", "sub/.git/config": "secret", ".well-known/security.txt": "contact", "../outside.txt": "secret", "dir.html/x": "x", "a:b/index.html": "<p>colon",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": "../outside.txt", "up": "..", "in": "a.txt", "absolute": filepath.Join(base, "outside.txt")} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDirectory(t *testing.T) {
	dir := site(t)
	url := serve(t, Config{Home: dir})
	for _, c := range []struct {
		method, path string
		header       string
		status       int
		body         string
		kind         string
		location     string
	}{
		{"GET", "/", "", 200, "<p>home", "text/html; charset=utf-8", ""},
		{"HEAD", "/", "", 200, "", "text/html; charset=utf-8", ""},
		{"GET", "/index.html", "", 301, "", "", "./"},
		{"GET", "/a.txt", "", 200, "0123456789", "text/plain; charset=utf-8", ""},
		{"GET", "/a.txt", "Range: bytes=2-4", 206, "234", "text/plain; charset=utf-8", ""},
		{"GET", "/a.txt", "Range: bytes=99-", 416, "invalid range: failed to overlap\n", "text/plain; charset=utf-8", ""},
		{"GET", "/sub", "", 301, "", "", "./sub/"},
		{"GET", "/sub?x=y", "", 301, "", "", "./sub/?x=y"},
		{"GET", "/sub/", "", 200, "<p>sub", "text/html; charset=utf-8", ""},
		{"GET", "/sub%20dir%3F", "", 301, "", "", "./sub%20dir%3F/"},
		{"GET", "/a:b", "", 301, "", "", "./a:b/"},
		{"GET", "/in", "", 200, "0123456789", "text/plain; charset=utf-8", ""},
		{"GET", "/.well-known/security.txt", "", 200, "contact", "text/plain; charset=utf-8", ""},
		{"GET", "/empty/", "", 404, missing, "text/html; charset=utf-8", ""}, // no list
		{"GET", "/empty", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/a.txt/", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/dir.html/", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/nothing", "", 404, missing, "text/html; charset=utf-8", ""},
		{"HEAD", "/nothing", "", 404, "", "text/html; charset=utf-8", ""},
		{"GET", "/.env", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/sub/.git/config", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/sub/.well-known/x", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/../outside.txt", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/sub/../../outside.txt", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/%2e%2e/outside.txt", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/..%5coutside.txt", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/out", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/absolute", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/up/outside.txt", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/a.txt%00", "", 404, missing, "text/html; charset=utf-8", ""},
		{"GET", "/derp", "", 404, missing, "text/html; charset=utf-8", ""},
		{"POST", "/", "", 405, "", "", ""},
	} {
		answer, body := ask(t, url, c.method, c.path, strings.Fields(strings.ReplaceAll(c.header, ": ", ":"))...)
		if answer.StatusCode != c.status || body != c.body || answer.Header.Get("Content-Type") != c.kind || answer.Header.Get("Location") != c.location {
			t.Errorf("%s %s: %d %q %s to %q, want %+v", c.method, c.path, answer.StatusCode, body, answer.Header.Get("Content-Type"), answer.Header.Get("Location"), c)
		}
	}
	answer, _ := ask(t, url, "GET", "/a.txt")
	tag := answer.Header.Get("Etag")
	if answer, body := ask(t, url, "GET", "/a.txt", "If-None-Match: "+tag); answer.StatusCode != 304 || body != "" || tag == "" {
		t.Errorf("what is known already: %d %q, tag %s", answer.StatusCode, body, tag)
	}
	if err := os.WriteFile(filepath.Join(dir, notFound), []byte("<p>not here"), 0o644); err != nil {
		t.Fatal(err)
	}
	if answer, body := ask(t, url, "GET", "/nothing"); answer.StatusCode != 404 || body != "<p>not here" {
		t.Errorf("words of its own: %d %q", answer.StatusCode, body)
	}
	if answer, body := ask(t, serve(t, Config{Home: filepath.Join(dir, "away")}), "GET", "/"); answer.StatusCode != 404 || body != missing {
		t.Errorf("a directory that is away: %d %q", answer.StatusCode, body)
	}
}

// The other server is asked as the peer has asked, and told who that is.
func TestUpstream(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Answer", "yes")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s %s for=%s host=%s proto=%s secret=%s %s", r.Method, r.Host, r.RequestURI, r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Host"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Hop"), body)
	}))
	defer server.Close()
	forged := []string{"X-Forwarded-For: 203.0.113.9", "X-Hop: 1", "Connection: X-Hop", "Content-Length: 4", "", "body"}
	for believed, want := range map[bool]string{
		false: "POST web.test /base/derp?a=b for=127.0.0.1 host=web.test proto=http secret= body",
		true:  "POST web.test /base/derp?a=b for=203.0.113.9, 127.0.0.1 host=web.test proto=http secret= body",
	} {
		url := serve(t, Config{Home: ProxyPrefix + server.URL + "/base", Believes: func(*http.Request) bool { return believed }})
		answer, body := ask(t, url, "POST", "/derp?a=b", forged...)
		if answer.StatusCode != http.StatusTeapot || answer.Header.Get("Answer") != "yes" || strings.TrimSpace(body) != want {
			t.Errorf("%d %q, want %q", answer.StatusCode, body, want)
		}
	}
}

func TestUpstreamAtASocket(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	go server.Serve(l)
	defer server.Close()
	if answer, body := ask(t, serve(t, Config{Home: ProxyPrefix + "unix:" + l.Addr().String()}), "GET", "/"); answer.StatusCode != 200 || body != "web.test" {
		t.Errorf("%d %q", answer.StatusCode, body)
	}
}

// A server that is away is a page that says so, and a line a minute.
func TestUpstreamDown(t *testing.T) {
	var log logtest.Log
	down := 0
	url := serve(t, Config{Home: "proxy:http://127.0.0.1:1", Log: log.Logger(slog.LevelWarn), Down: func() { down++ }})
	for range 3 {
		if answer, body := ask(t, url, "GET", "/"); answer.StatusCode != http.StatusBadGateway || body != failed {
			t.Errorf("%d %q", answer.StatusCode, body)
		}
	}
	if n := log.Lines("does not answer", "home=proxy:http://127.0.0.1:1", "remedy="); n != 1 || down != 3 {
		t.Errorf("%d lines, %d counted:\n%s", n, down, &log)
	}
}

// A server that is this one would be asked for ever.
func TestUpstreamThatLeadsBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log logtest.Log
	h, err := New(Config{Home: "proxy:http://" + l.Addr().String(), Log: log.Logger(slog.LevelWarn)})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	defer h.Close()
	defer server.Close()
	if answer, body := ask(t, "http://"+l.Addr().String(), "GET", "/"); answer.StatusCode != http.StatusBadGateway || body != failed || log.Lines("leads back to this relay") != 1 {
		t.Errorf("%d %q\n%s", answer.StatusCode, body, &log)
	}
}

func TestLook(t *testing.T) {
	dir := site(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for home, want := range map[string]string{
		"": "", Blank: "", "https://example.com/": "", dir: "", filepath.Join(dir, "empty"): "index.html", filepath.Join(dir, "away"): "no such file", "proxy:http://" + l.Addr().String(): "", "proxy:https://127.0.0.1:1": "dial tcp", "proxy:unix:/nowhere": "dial unix",
	} {
		if err := Look(t.Context(), home); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", home, err, want)
		}
	}
}

// Nothing leads out of a directory, and nothing begins with a dot.
func FuzzFileOf(f *testing.F) {
	for _, path := range []string{"/", "/a/b", "/../x", "/.well-known/x", "//", "/a/./b", "/\x00", "/a\\b", "x", ""} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		name, ok := fileOf(path)
		if !ok {
			return
		}
		if !filepath.IsLocal(name) {
			t.Fatalf("%q leads to %q", path, name)
		}
		for i, part := range strings.Split(name, "/") {
			if strings.HasPrefix(part, ".") && name != "." && !(i == 0 && part == ".well-known") {
				t.Fatalf("%q shows %q", path, name)
			}
		}
	})
}
