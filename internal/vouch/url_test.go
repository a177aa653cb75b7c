package vouch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// verifyAt is the source behind a handler.
func verifyAt(t *testing.T, handler http.HandlerFunc) *URL {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s, err := NewURL(server.URL+"/verify", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// The cases that were recorded with derper. Where it says no to what is no answer, so
// do we to a stranger; but it is no answer to us (differs), which leaves those in who
// were confirmed before.
func TestVerifyAsDerperAsks(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "derp", "testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Admission struct {
			Cases []struct {
				Name, Request_method, Request_content_type, Request_json, Client_remote, Response_body string
				Response_status                                                                        int
				Admitted                                                                               bool
			}
		}
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors.Admission.Cases) != 9 {
		t.Fatal(err, len(vectors.Admission.Cases))
	}
	differs := map[string]bool{"empty object denies": true, "empty body denies": true, "status 201 denies": true, "status 500 denies even when fail-open": true}
	for _, c := range vectors.Admission.Cases {
		t.Run(c.Name, func(t *testing.T) {
			s := verifyAt(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != c.Request_method || string(body) != c.Request_json || r.Header.Get("Content-Type") != c.Request_content_type {
					t.Errorf("asked %s with %q %s", r.Method, r.Header, body)
				}
				w.WriteHeader(c.Response_status)
				io.WriteString(w, c.Response_body)
			})
			var asked request
			if err := json.Unmarshal([]byte(c.Request_json), &asked); err != nil {
				t.Fatal(err)
			}
			from, _ := netip.ParseAddrPort(c.Client_remote)
			allow, err := s.Ask(context.Background(), asked.NodePublic, from.Addr())
			if allow != c.Admitted || (err != nil) != differs[c.Name] {
				t.Errorf("%v, %v; derper admits: %v", allow, err, c.Admitted)
			}
		})
	}
}

func TestWhatIsNoAnswer(t *testing.T) {
	say := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"a web page":       {say(200, "text/html; charset=utf-8", "<html>Log in</html>"), "a web page"},
		"JSON of others":   {say(200, "application/json", `{"error":"no"}`), `there is no "Allow"`},
		"a list":           {say(200, "application/json", `[{"Allow":true}]`), "no JSON object"},
		"true":             {say(200, "application/json", `true`), "no JSON object"},
		"a text":           {say(200, "application/json", `{"Allow":"true"}`), "neither true nor false"},
		"null":             {say(200, "application/json", `{"Allow":null}`), "neither true nor false"},
		"one":              {say(200, "application/json", `{"Allow":1}`), "neither true nor false"},
		"both":             {say(200, "application/json", `{"Allow":true,"allow":false}`), "contradict"},
		"cut off":          {say(200, "application/json", `{"Allow":true`), "no JSON object"},
		"more":             {say(200, "application/json", `{"Allow":true}{"Allow":true}`), "more behind"},
		"long":             {say(200, "application/json", `{"Allow":true,"x":"`+strings.Repeat("x", 5000)+`"}`), "longer than 4 KiB"},
		"long white space": {say(200, "application/json", `{"Allow":true}`+strings.Repeat(" ", 5000)), "longer than 4 KiB"},
		"nothing":          {say(200, "application/json", ``), "no JSON object"},
		"204":              {say(204, "application/json", ``), "status 204"},
		"401":              {say(401, "application/json", `{"Allow":true}`), "demands a login (status 401)"},
		"404":              {say(404, "application/json", `{"Allow":true}`), "is the path right? Headscale's is /verify"},
		"503":              {say(503, "application/json", `{"Allow":true}`), "status 503, where only 200"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/verify" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "https://user:secret@elsewhere.example/login?token=secret", http.StatusTemporaryRedirect)
		}, "sends us to https://elsewhere.example/login (status 307), and redirects are not followed"},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"Allow":true}`)
		}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			allow, err := verifyAt(t, c.handler).Ask(context.Background(), k(1), netip.Addr{})
			if allow || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, %v; want %q", allow, err, c.want)
			}
		})
	}
}

// What never ends, ends with the time there is.
func TestSlowAnswersEnd(t *testing.T) {
	hold := make(chan struct{})
	for name, handler := range map[string]http.HandlerFunc{
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		},
		"slow": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"Allow":`)
			w.(http.Flusher).Flush()
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		},
	} {
		s := verifyAt(t, handler)
		ctx, cancel := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, ErrSlow)
		allow, err := s.Ask(ctx, k(1), netip.Addr{})
		if allow || !errors.Is(err, ErrSlow) {
			t.Errorf("%s: %v, %v", name, allow, err)
		}
		cancel()
	}
	close(hold)
	endless := verifyAt(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, `{"Allow":true,`); err != nil {
				return
			}
		}
	})
	if allow, err := endless.Ask(context.Background(), k(1), netip.Addr{}); allow || err == nil {
		t.Errorf("endless: %v, %v", allow, err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refused, err := NewURL("http://user:hunter2@"+closed.Addr().String()+"/verify?token=hunter2", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	if _, err := refused.Ask(context.Background(), k(1), netip.Addr{}); err == nil || strings.Contains(err.Error()+refused.Target(), "hunter2") {
		t.Errorf("refused: %v, shown as %s", err, refused.Target())
	}
}

func TestHeadersComeFromAFile(t *testing.T) {
	header, err := ReadHeaders(writeFile(t, "headers", "# who we are\r\nAuthorization: Bearer hunter2\r\nX-A:1\r\nx-a: 2\r\nHost: other.example\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"Allow":%v}`, r.Header.Get("Authorization") == "Bearer hunter2" && len(r.Header["X-A"]) == 2 && r.Host == "other.example")
	}))
	defer server.Close()
	s, err := NewURL(server.URL, header, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if allow, err := s.Ask(context.Background(), k(1), netip.Addr{}); !allow || err != nil {
		t.Errorf("%v, %v", allow, err)
	}
	for text, want := range map[string]string{
		"":                                 "no header in it",
		"Authorization hunter2":            "line 1 is no header",
		"# x\nBad Name: hunter2":           "line 2 is no header",
		"X-A: hun\x01ter2":                 "line 1: the value of X-A has a character",
		"Content-Length: 3":                "line 1: Content-Length is the connection's business",
		"X-A: 1\nTransfer-Encoding: hello": "line 2: Transfer-Encoding is",
	} {
		if _, err := ReadHeaders(writeFile(t, "headers", text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestVerifyTrustsTheGivenAuthority(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"Allow":true}`) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for _, trusted := range []*tls.Config{nil, {RootCAs: roots}} {
		s, err := NewURL(server.URL, nil, trusted)
		if err != nil {
			t.Fatal(err)
		}
		allow, err := s.Ask(context.Background(), k(1), netip.Addr{})
		s.Close()
		if allow != (trusted != nil) || (err == nil) != (trusted != nil) {
			t.Errorf("trusted %v: %v, %v", trusted != nil, allow, err)
		}
	}
}

func TestURLsAreChecked(t *testing.T) {
	for _, given := range []string{"", "h/verify", "ftp://h/verify", "http://", "https://:443/verify", "http://u:hunter2@h:x/verify", "http://u:hunter2@"} {
		if _, err := NewURL(given, nil, nil); err == nil || !strings.Contains(err.Error(), "want a URL") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func FuzzVerifyAnswer(f *testing.F) {
	for _, seed := range []string{`{"Allow":true}`, `{"allow":false}`, `{}`, `<html>`, `{"Allow":true,"Allow":false}`, `{"a":{"Allow":true}}`, "", "null"} {
		f.Add([]byte(seed), "application/json")
	}
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		allow, err := parseAnswer(body, kind)
		if !allow {
			return
		}
		// A yes is one to derper, too.
		var theirs struct{ Allow bool }
		if wrong := json.Unmarshal(body, &theirs); err != nil || wrong != nil || !theirs.Allow {
			t.Errorf("%q: %v, %v, %v", body, allow, err, wrong)
		}
	})
}
