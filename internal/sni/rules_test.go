package sni

import (
	"strings"
	"testing"
)

// rulesOf are rules with backends named after what they are for.
func rulesOf(t *testing.T, unknown, none string, certified []string, own ...string) *Rules {
	t.Helper()
	names, err := ParseNames(map[string]string{
		"Git.Example.org": "127.0.0.1:1001", "*.example.org": "127.0.0.1:1002", "*.deep.example.org": "127.0.0.1:1003", "b_c.example.org.": "my_app:1004",
		"xn--bcher-kva.example": "unix:/run/books.sock",
	})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Names: names, Own: own, Certified: func() []string { return certified }}
	if c.Unknown, err = ParseChoice(unknown, "unknown"); err != nil {
		t.Fatal(err)
	}
	if c.None, err = ParseChoice(none, "none"); err != nil {
		t.Fatal(err)
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// word is a verdict in one word.
func word(v Verdict) string {
	switch {
	case v.Answers():
		return Answer
	case v.Backend() == nil:
		return Close
	}
	return v.Backend().String()
}

func TestJudge(t *testing.T) {
	certified := []string{"derp2.example.org", "*.relays.example", "203.0.113.9"}
	strict := rulesOf(t, Close, "127.0.0.1:1005", certified, "relay.example.org", "203.0.113.7")
	open := rulesOf(t, "", Answer, certified, "relay.example.org")
	for _, c := range []struct {
		name         string
		proto        string
		strict, open string
	}{
		{"relay.example.org", "", Answer, Answer},
		{"RELAY.example.ORG", "", Answer, Answer},
		{"git.example.org", "", "127.0.0.1:1001", "127.0.0.1:1001"},
		{"GIT.EXAMPLE.ORG", "h2", "127.0.0.1:1001", "127.0.0.1:1001"},
		{"git.example.org", "acme-tls/1", "127.0.0.1:1001", "127.0.0.1:1001"}, // its own authority asks it
		{"relay.example.org", "acme-tls/1", Answer, Answer},                   // ours asks us
		{"7.113.0.203.in-addr.arpa", "acme-tls/1", Answer, Answer},            // for an address
		{"7.113.0.203.in-addr.arpa", "http/1.1", Close, Answer},               // nobody's name
		{"a.example.org", "", "127.0.0.1:1002", "127.0.0.1:1002"},             // beneath
		{"a.b.example.org", "", "127.0.0.1:1002", "127.0.0.1:1002"},           // far beneath
		{"a.deep.example.org", "", "127.0.0.1:1003", "127.0.0.1:1003"},        // the longest
		{"deep.example.org", "", "127.0.0.1:1002", "127.0.0.1:1002"},          // not beneath itself
		{"b_c.example.org", "", "my_app:1004", "my_app:1004"},                 // of a container
		{"xn--bcher-kva.example", "", "unix:/run/books.sock", "unix:/run/books.sock"},
		{"example.org", "", Close, Answer},
		{"notexample.org", "", Close, Answer},
		{"derp2.example.org", "", Answer, Answer}, // the certificate's, before what is beneath
		{"eu.relays.example", "", Answer, Answer},
		{"x.eu.relays.example", "", Close, Answer}, // a certificate's * is one part
		{"", "", "127.0.0.1:1005", Answer},
		{"192.0.2.1", "", "127.0.0.1:1005", Answer}, // no name
		{"2001:db8::1", "", "127.0.0.1:1005", Answer},
		{"203.0.113.7", "", Answer, Answer},
		{"git.example.org:443", "", Close, Answer},
		{"git.example.org.evil", "", Close, Answer},
		{".example.org", "", "127.0.0.1:1002", "127.0.0.1:1002"},
		{"..", "", Close, Answer},
		{"\x1b[31m\n", "", Close, Answer},
	} {
		if got := word(strict.Judge(c.name, []string{c.proto})); got != c.strict {
			t.Errorf("%q for %s, strict: %s, want %s", c.name, c.proto, got, c.strict)
		}
		if got := word(open.Judge(c.name, []string{c.proto})); got != c.open {
			t.Errorf("%q for %s, open: %s, want %s", c.name, c.proto, got, c.open)
		}
	}
	if strict.Judge("", nil).Named || !strict.Judge("x.test", nil).Named {
		t.Error("whether there is a name is not told")
	}
}

func TestTheRelaysNameCannotLeadElsewhere(t *testing.T) {
	names, err := ParseNames(map[string]string{"relay.example.org": "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Names: names, Own: []string{"relay.example.org"}}); err == nil || !strings.Contains(err.Error(), "what peers reach the relay by") {
		t.Errorf("error %v", err)
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, at, want string }{
		{"https://git.test", "127.0.0.1:1", "is a URL: write git.test"},
		{"git.test:443", "127.0.0.1:1", "has a port: write git.test"},
		{"bücher.example", "127.0.0.1:1", "write xn--bcher-kva.example"},
		{"*.*.test", "127.0.0.1:1", "wildcard"},
		{"*", "127.0.0.1:1", "has a"},
		{"*.", "127.0.0.1:1", "is empty"},
		{"192.0.2.1", "127.0.0.1:1", "asks for no name"},
		{"git.test", "8443", "want host:port"},
		{"git.test", "127.0.0.1", "want host:port"},
		{"git.test", "127.0.0.1:0", "want host:port"},
		{"git.test", "127.0.0.1:65536", "want host:port"},
		{"git.test", "127.0.0.1:https", "want host:port"},
		{"git.test", ":8443", "write 127.0.0.1:8443 for this machine"},
		{"git.test", "https://127.0.0.1:8443", "is a URL, and connections are passed on unopened"},
		{"git.test", "unix:run/x.sock", "write the whole path"},
		{"git.test", "unix:", "write the whole path"},
		{"git.test", "proxy-v2:", "want host:port"},
		{"git.test", "bücher:1", "the host"},
	} {
		_, err := ParseNames(map[string]string{c.name: c.at})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s=%s: %v, want one line with %q", c.name, c.at, err, c.want)
		}
	}
	if _, err := ParseNames(map[string]string{"a.test": "x:1", "A.test": "y:1"}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one name twice: %v", err)
	}
	if _, err := ParseChoice("deny", "x"); err == nil || !strings.Contains(err.Error(), "or answer or close") {
		t.Errorf("no choice: %v", err)
	}
	for text, want := range map[string]*Backend{
		"127.0.0.1:1":        {Network: "tcp", Addr: "127.0.0.1:1"},
		"[::1]:1":            {Network: "tcp", Addr: "[::1]:1"},
		"[fe80::1%eth0]:1":   {Network: "tcp", Addr: "[fe80::1%eth0]:1"},
		"proxy-v2:web:8443":  {Network: "tcp", Addr: "web:8443", Header: true},
		"proxy-v2:unix:/run": {Network: "unix", Addr: "/run", Header: true},
	} {
		c, err := ParseChoice(text, "x")
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if b := c.Backend(); b.Network != want.Network || b.Addr != want.Addr || b.Header != want.Header {
			t.Errorf("%s: %+v", text, b)
		}
	}
}
