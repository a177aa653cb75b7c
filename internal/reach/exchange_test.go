package reach

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// What is said before the answer proper is passed over, and what is no answer is
// told as what it is.
func TestExchange(t *testing.T) {
	for _, test := range []struct {
		said, body string
		failure    error
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", "hi", nil},
		{"HTTP/1.1 103 x\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nmore", "", nil},
		{"HTTP/1.1 101 x\r\nUpgrade: DERP\r\n\r\nframes", "frames", nil},
		{"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end", nil},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc", nil},
		{strings.Repeat("HTTP/1.1 100 x\r\n\r\n", maxInterim), "", ErrProtocol},
		{"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxAnswer), "", ErrProtocol},
		{"SSH-2.0-OpenSSH\r\n", "", ErrProtocol},
		{"H", "", ErrNoAnswer},
		{"HTTP/1.1 200 OK\r\n", "", ErrNoAnswer},
		{"", "", ErrNoAnswer},
	} {
		ours, theirs := net.Pipe()
		go func() {
			theirs.Read(make([]byte, 4096))
			io.WriteString(theirs, test.said)
			theirs.Close()
		}()
		request, _ := http.NewRequest(http.MethodGet, "http://relay.test/derp/probe", nil)
		answer, err := Exchange(ours, request)
		if !errors.Is(err, test.failure) {
			t.Errorf("%.40q: %v, want %v", test.said, err, test.failure)
		}
		if answer != nil {
			body, err := io.ReadAll(answer.Body)
			if string(body) != test.body || err != nil {
				t.Errorf("%.40q: %q, %v", test.said, body, err)
			}
			answer.Body.Close()
		}
		ours.Close()
	}
}

// A page says why, unless it repeats the status.
func TestPage(t *testing.T) {
	for body, want := range map[string]string{
		"": "",
		"<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1><hr>nginx</body>": "",
		"Forbidden\n": "",
		"no":          "",
		"<title>400 No required SSL certificate was sent</title>":            "400 No required SSL certificate was sent",
		"<TITLE lang=en>\n Attention Required! | Cloudflare\n</TITLE><p>x":   "Attention Required! | Cloudflare",
		"<style>p { color: red }</style><p>Access&nbsp;denied by policy</p>": "Access denied by policy",
		"<script>while (1) { alert() }":                                      "",
		`{"error":"quota exceeded"}`:                                         `{"error":"quota exceeded"}`,
		strings.Repeat("ä", 200):                                             strings.Repeat("ä", maxPage) + "…",
	} {
		if got := (&StatusError{Code: 403, Body: body}).Page(); got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}
