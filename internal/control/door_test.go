package control

import (
	"errors"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const secret = "6d2f1c9a0b7e4d83aa51f0c2e9b8d76453e1f0a9c8b7d6e5f4a3b2c1d0e9f8a7"

func TestDoorWantsTheToken(t *testing.T) {
	h := New(Config{Version: "v1", Peers: &crowd{}})
	c, door, _ := secured(t, h, secret, secret)
	if v, err := c.Version(t.Context()); err != nil || v.Version != "v1" {
		t.Errorf("%+v, %v", v, err)
	}
	other, _, _ := secured(t, h, secret, strings.Repeat("0123456789", 7))
	_, err := other.Version(t.Context())
	wantError(t, err, 401, "the token is missing or not the one of this server")
	none, strict, _ := secured(t, h, secret, "")
	for range int(wrongTokens.Burst) {
		_, err = none.Version(t.Context())
		wantError(t, err, 401, "the token is missing")
	}
	_, err = none.Version(t.Context())
	wantError(t, err, 429, "too many wrong tokens")
	var s Snapshot
	strict.Count(&s)
	if s.WrongTokens != uint64(wrongTokens.Burst) || s.Limited != 1 {
		t.Errorf("%+v", s)
	}
	if s := h.Snapshot(); s.Requests != 1 {
		t.Errorf("%d requests came through", s.Requests)
	}

	// Another token counts at once, and the old one no more.
	next, err := NewToken(strings.Repeat("9876543210", 7))
	if err != nil {
		t.Fatal(err)
	}
	door.SetToken(next)
	_, err = c.Version(t.Context())
	wantError(t, err, 401, "not the one of this server")
}

func TestDoorRefusesWebPages(t *testing.T) {
	door := NewDoor(New(Config{Peers: &crowd{}}), must(NewToken(secret)), func(host string) bool { return host == "relay.example" }, "change this process", nil)
	for _, test := range []struct {
		host, header, value string
		status              int
	}{
		{"relay.example:9341", "", "", 200},
		{"relay.example.", "", "", 200},
		{"127.0.0.1:9341", "", "", 200},
		{"[::1]:9341", "", "", 200},
		{"[::1]", "", "", 200},
		{"LOCALHOST", "", "", 200},
		{"evil.example", "", "", 421},
		{"", "", "", 421},
		{"relay.example", "Origin", "null", 403},
		{"relay.example", "Origin", "https://relay.example", 403},
		{"relay.example", "Sec-Fetch-Site", "cross-site", 403},
	} {
		r := httptest.NewRequest("GET", PathVersion, nil)
		r.Host = test.host
		r.Header.Set("Authorization", "bearer "+secret)
		if test.header != "" {
			r.Header.Set(test.header, test.value)
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		if w.Code != test.status || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%+v: %d %s", test, w.Code, w.Body)
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The table of addresses is bounded, forgets, and counts a network of IPv6 as one.
func TestSourcesAreBounded(t *testing.T) {
	s := newSources(wrongTokens)
	for i := range 2 * mostSources {
		s.take(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 0)
	}
	if n := len(s.buckets); n != mostSources {
		t.Errorf("%d addresses", n)
	}
	s.take(netip.AddrFrom4([4]byte{11}), time.Hour)
	if n := len(s.buckets); n != 1 {
		t.Errorf("%d addresses after an hour", n)
	}
	a, b := httptest.NewRequest("GET", "/", nil), httptest.NewRequest("GET", "/", nil)
	a.RemoteAddr, b.RemoteAddr = "[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::2]:2"
	if remoteOf(a) != remoteOf(b) {
		t.Errorf("%v and %v", remoteOf(a), remoteOf(b))
	}
}

func TestTokenFile(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"hex":               {secret + "\n", ""},
		"128 bits of hex":   {"000102030405060708090a0b0c0d0e0f", ""},
		"128 bits, base64":  {"# made yesterday\r\n\r\nAAECAwQFBgcICQoLDA0ODw==\r\n", ""},
		"UTF-16":            {"\xff\xfe" + wide(secret), ""},
		"empty":             {"\n# nothing\n", "there is no token: make one"},
		"two":               {secret + "\n" + secret, "it has more than one token"},
		"a word":            {"correcthorsebatterystaple", "the token can be guessed, it has 118 bits at most and needs 128"},
		"124 bits of hex":   {"000102030405060708090a0b0c0d0e0", "124 bits at most"},
		"one key held down": {strings.Repeat("a", 100), "0 bits at most"},
		"words":             {"correct horse battery staple, and more of them", "has a space"},
		"long":              {strings.Repeat(secret, 17), "more than 1024 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := ReadToken(path)
			switch {
			case test.want == "":
				if err != nil || !must(NewToken(got)).is(got) {
					t.Errorf("%q, %v", got, err)
				}
			case err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path):
				t.Errorf("%v, want %q", err, test.want)
			case strings.Contains(err.Error(), "staple") || strings.Contains(err.Error(), secret[:8]):
				t.Errorf("%v repeats the token", err)
			}
		})
	}
	if _, err := ReadToken(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if (Token{}).is("") {
		t.Error("no token lets somebody in")
	}
}

func wide(s string) (out string) {
	for _, c := range s {
		out += string(c) + "\x00"
	}
	return out
}
