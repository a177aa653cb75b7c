package mesh

import (
	"slices"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/pin"
)

var hexPin = strings.Repeat("0123456789abcdef", 4)

func TestParseEntries(t *testing.T) {
	for list, want := range map[string][]Entry{
		"":              nil,
		"  ":            nil,
		"a.example.com": {{Name: "a.example.com", Host: "a.example.com", Port: 443}},
		"A.Example.com:8443 , b/10.0.0.1": {
			{Name: "A.Example.com:8443", Host: "a.example.com", Port: 8443},
			{Name: "b/10.0.0.1", Host: "b", Port: 443, DialHost: "10.0.0.1"},
		},
		"a:1/inside.example.com": {{Name: "a:1/inside.example.com", Host: "a", Port: 1, DialHost: "inside.example.com"}},
		"a/2001:db8::1":          {{Name: "a/2001:db8::1", Host: "a", Port: 443, DialHost: "2001:db8::1"}},
		"a/[2001:db8::1]":        {{Name: "a/[2001:db8::1]", Host: "a", Port: 443, DialHost: "2001:db8::1"}},
		"192.0.2.1":              {{Name: "192.0.2.1", Host: "192.0.2.1", Port: 443}},
		"[2001:DB8::1]":          {{Name: "[2001:DB8::1]", Host: "2001:db8::1", Port: 443}},
		"[::1]:3340":             {{Name: "[::1]:3340", Host: "::1", Port: 3340}},
		"http://127.0.0.1:3340":  {{Name: "http://127.0.0.1:3340", Host: "127.0.0.1", Port: 3340, Plain: true}},
		"HTTP://a":               {{Name: "HTTP://a", Host: "a", Port: 80, Plain: true}},
		"https://a:444":          {{Name: "https://a:444", Host: "a", Port: 444}},
		"a:444/b=sha256-raw:" + hexPin: {
			{Name: "a:444/b", Host: "a", Port: 444, DialHost: "b", Pin: mustPin(t, hexPin)},
		},
		// One certificate for several relays.
		"a/10.0.0.1,a/10.0.0.2,a:444/10.0.0.1": {
			{Name: "a/10.0.0.1", Host: "a", Port: 443, DialHost: "10.0.0.1"},
			{Name: "a/10.0.0.2", Host: "a", Port: 443, DialHost: "10.0.0.2"},
			{Name: "a:444/10.0.0.1", Host: "a", Port: 444, DialHost: "10.0.0.1"},
		},
	} {
		got, err := ParseEntries(list)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", list, got, err, want)
		}
	}
}

func mustPin(t *testing.T, digits string) pin.Pin {
	t.Helper()
	p, err := pin.Parse(pin.Prefix + digits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every message says which entry, and what is wrong or to be written instead.
func TestParseEntriesRefuses(t *testing.T) {
	for list, want := range map[string]string{
		"a,,b":              `entry 2, "": it is empty: remove the comma`,
		"a,":                `entry 2, "": it is empty`,
		"a/b/c":             `entry 1, "a/b/c": there is more than one slash: write host`,
		"x,a/":              `entry 2, "a/": dialhost "": want a host name`,
		"/b":                `entry 1, "/b": host "": want a host name or an IP address: write host`,
		"a/b:443":           `dialhost "b:443" has a port: write it behind the host, host:port/dialhost`,
		"a/[::1]:443":       `dialhost "[::1]:443" has a port`,
		"a/[b]":             `dialhost "[b]": want a host name`,
		"a/[::1":            `dialhost "[::1": want a host name`,
		"a:":                `port "": want a number from 1 to 65535`,
		"a:0":               `port "0"`,
		"a:65536":           `port "65536"`,
		"a:+1":              `port "+1"`,
		"a:https":           `port "https"`,
		":443":              `host "": want`,
		"...":               `host "...": want`,
		"a b":               `host "a b": want`,
		"ä":                 `host "ä": want`,
		"a:1:2":             `host "a:1": want`,
		"2001:db8::1":       `IPv6 address "2001:db8::1": put it in brackets, [2001:db8::1]`,
		"fe80::1%\n0":       `IPv6 address "fe80::1%\n0": put it in brackets, [fe80::1]`,
		"[2001:db8::1":      `want`,
		"[192.0.2.1]":       `want an IPv6 address without zone in the brackets`,
		"[fe80::1%eth0]":    `want an IPv6 address without zone in the brackets`,
		"[::1]x:443":        `want an IPv6 address`,
		"ftp://a":           `scheme "ftp": remove it for a sibling with TLS, or write http://`,
		"0\n://":            `scheme "0\n": remove it`,
		"http://a/derp":     `a URL cannot have a path`,
		"https://a/b":       `a URL cannot have a path`,
		"http://":           `host "": want`,
		"a=sha256-raw:12":   `pin "sha256-raw:12": want sha256-raw: and the certificate's SHA-256 as 64 lowercase hex digits`,
		"a=" + hexPin:       `pin "0123`,
		"a=":                `pin "": want`,
		"a,b,A:443":         `entry 3, "A:443": it is the same sibling as entry 1, "a": remove one of them`,
		"a,b/a,https://b/a": `a URL cannot`,
		"a=sha256-raw:" + strings.ToUpper(hexPin):   `64 lowercase hex digits`,
		"http://a=sha256-raw:" + hexPin:             `a sibling without TLS has no certificate to pin`,
		"a=sha256-raw:" + hexPin + "=" + hexPin:     `pin "`,
		"a=sha256-raw:" + hexPin + "/b":             `pin "`,
		strings.Repeat("a.", 200):                   `host "a.a.`,
		"[2001:db8::1],[2001:db8:0:0::1]:443/[::2]": "",
		"[2001:db8::1],[2001:db8:0:0::1]:443":       `entry 2, "[2001:db8:0:0::1]:443": it is the same sibling`,
	} {
		_, err := ParseEntries(list)
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", list, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "entry ") {
			t.Errorf("%q: %v\nwant ...%s", list, err, want)
		}
	}
}

// hostHeader returns the host as it stands in requests.
func hostHeader(t *testing.T, e Entry) string {
	way, err := dialer{}.way(target{Entry: e})
	if err != nil {
		t.Fatal(err)
	}
	return way.HostHeader()
}

func TestHostHeader(t *testing.T) {
	for list, want := range map[string]string{
		"a": "a", "A.:443": "a", "a_1": "a_1", "a:80": "a:80", "http://a": "a", "http://a:443": "a:443", "[::1]": "[::1]", "[::1]:1/b": "[::1]:1",
	} {
		entries, err := ParseEntries(list)
		if err != nil {
			t.Fatal(list, err)
		}
		if got := hostHeader(t, entries[0]); got != want {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

// Whatever is accepted is accepted again, one by one, and can be dialled.
func FuzzParseEntries(f *testing.F) {
	for _, seed := range []string{
		"", "a", "a,b:1/c", "[::1]:1/[::2]=sha256-raw:" + hexPin, "http://a:80", "https://a", "a,a", ",", "a/b/c", "a:", "[", "]:1", "=", "://",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		entries, err := ParseEntries(list)
		if err != nil {
			if strings.HasPrefix(err.Error(), "entry ") && !strings.Contains(err.Error(), "\n") {
				return
			}
			t.Fatalf("%q: %v", list, err)
		}
		for _, e := range entries {
			text := e.Name
			if !e.Pin.IsZero() {
				text += "=" + e.Pin.String()
			}
			again, err := ParseEntries(text)
			if err != nil || len(again) != 1 || again[0] != e {
				t.Fatalf("%q: %+v again is %+v, %v", list, e, again, err)
			}
			if !validHost(e.Host) || !validHost(e.dialHost()) || e.Port == 0 || strings.ContainsAny(hostHeader(t, e), "\r\n /") {
				t.Fatalf("%q: %+v", list, e)
			}
		}
	})
}

// A password in an entry that is refused is not repeated.
func TestEntryErrorsHaveNoPassword(t *testing.T) {
	for _, list := range []string{
		"http://user:hunter2@a.example", "a,https://user:hunter2@b:443", "u:hunter2@a/b/c", "http://u:hunter%zz2@b", "hunter2@a=sha256-raw:00", "http://user:hunter2@",
		"u:hunter2@x@a",
	} {
		_, err := ParseEntries(list)
		if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", list, err)
		}
	}
}
