package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/detour-relay/detour/key"
)

func TestStatus(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   StatusError
	}{
		"upgrade required": {"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 12\r\n\r\nupgrade, ok?", StatusError{Code: 426, Body: "upgrade, ok?"}},
		"forbidden":        {"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno \r\n3\r\nno!\r\n0\r\n\r\n", StatusError{Code: 403, Body: "no no!"}},
		"captive portal":   {"HTTP/1.1 302 Found\r\nLocation: http://login.example.net/\r\nContent-Length: 0\r\n\r\n", StatusError{Code: 302, Redirect: "http://login.example.net/"}},
		"unusual":          {"HTTP/1.0 599 \r\n\r\n", StatusError{Code: 599}},
		"home page":        {"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + strings.Repeat("<p>\n", 1250), StatusError{Code: 200, Body: strings.Repeat("<p>\n", 255) + "<p>"}},
		"body never comes": {"HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\nlater", StatusError{Code: 503, Body: "later"}},
	} {
		relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
			s.request()
			s.write([]byte(c.answer))
			if name == "body never comes" {
				s.drain()
			}
		})
		cfg := relay.config(t, "http://relay.example.com")
		cfg.WebSocket = WebSocketNever
		_, err := Dial(t.Context(), cfg)
		var got *StatusError
		if !errors.As(err, &got) || *got != c.want {
			t.Errorf("%s: %#v (%v), want %#v", name, got, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprint(c.want.Code)) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v does not tell the status in one line", name, err)
		}
	}
}

// After a fast start, nobody waits for an answer, so a refusal is found by the
// receiver.
func TestStatusAfterFastStart(t *testing.T) {
	a, private := newAuthority(t), key.NewPrivate()
	relay := startRelay(t, private, serverTLS(with(a.issue("relay.example.com"), metaCert(t, private.Public(), 2))), func(s *side) {
		s.request()
		s.write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nfull"))
		s.drain()
	})
	cfg := relay.config(t, "https://relay.example.com")
	cfg.RootCAs = a.pool()
	_, err := dial(t, cfg).Recv(nil)
	var got *StatusError
	if want := (StatusError{Code: 403, Body: "full"}); !errors.As(err, &got) || *got != want {
		t.Errorf("%v, want %v", err, &want)
	}
}

func TestFallbackErrorTellsBoth(t *testing.T) {
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		if head, _ := s.request(); strings.Contains(head, "Upgrade: DERP") {
			s.write([]byte("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"))
		} else {
			s.write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
		}
	})
	_, err := Dial(t.Context(), relay.config(t, "http://relay.example.com"))
	var first *StatusError
	if !errors.As(err, &first) || first.Code != http.StatusUpgradeRequired || !strings.Contains(err.Error(), "403") {
		t.Errorf("%v, want the first refusal, and the second in the text", err)
	}
}

func TestEndBehindTheAnswer(t *testing.T) {
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		s.request()
		s.write([]byte(switchingProtocols))
	})
	if _, err := Dial(t.Context(), relay.config(t, "http://relay.example.com")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v, want io.ErrUnexpectedEOF", err)
	}
}
