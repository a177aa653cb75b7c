package acme

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/config"
)

func TestWhenToRenew(t *testing.T) {
	const day = 24 * time.Hour
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for what, test := range map[string]struct {
		life, suggested, want time.Duration // from the beginning; 0: nothing is suggested
	}{
		"three months":            {90 * day, 0, 60 * day},
		"six days":                {6 * day, 0, 3 * day},
		"as the authority says":   {90 * day, 40 * day, 40 * day},
		"at once, but once a day": {90 * day, -day, day},
		"at once, of a short one": {day, time.Minute, 4 * time.Hour},
		"later, but not too late": {90 * day, 89 * day, 75 * day},
	} {
		w := sort(Config{Names: []string{"relay.example.com"}})[0]
		leaf := &x509.Certificate{NotBefore: from, NotAfter: from.Add(test.life), DNSNames: w.names}
		w.renewAt = w.renewal(leaf)
		if test.suggested != 0 {
			w.suggest(leaf, from.Add(test.suggested))
		}
		if got := w.renewAt.Sub(from); got != test.want {
			t.Errorf("%s: after %v, want %v", what, got, test.want)
		}
	}
	w := sort(Config{Names: []string{"relay.example.com", "derp.example.com"}})[0]
	if at := w.renewal(&x509.Certificate{NotBefore: from, NotAfter: from.Add(day), DNSNames: []string{"relay.example.com"}}); !at.IsZero() {
		t.Errorf("one that lacks a name is renewed at %v", at)
	}
}

func TestHowAuthoritiesCallUs(t *testing.T) {
	for name, want := range map[string]string{
		"Relay.Example.com.": "relay.example.com",
		"203.0.113.7":        "7.113.0.203.in-addr.arpa",
		"::ffff:203.0.113.7": "7.113.0.203.in-addr.arpa",
		"2001:db8::7":        "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := calledBy(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := reverse(netip.MustParseAddr("0.0.0.0")); got != "0.0.0.0.in-addr.arpa" {
		t.Error(got)
	}
}

// Strangers do not have the storage looked at.
func TestAnswersAreForOurNames(t *testing.T) {
	storage := &flawed{Storage: NewFiles(t.TempDir())}
	s, err := Open(Config{Names: []string{"relay.example.com"}, Storage: storage})
	if err != nil {
		t.Fatal(err)
	}
	storage.tell(func(op, key string) error {
		t.Errorf("%s of %s", op, key)
		return nil
	})
	for _, name := range []string{"", "other.example.com", "../../etc/passwd", strings.Repeat("a", 300)} {
		if _, err := s.answers.certificate(t.Context(), name); err == nil {
			t.Errorf("%q is answered", name)
		}
	}
	storage.tell(nil)
	if _, err := s.answers.certificate(t.Context(), "relay.example.com"); !has(err, "no authority is expected") {
		t.Error(err)
	}
}

// What the storage has and cannot be used is told, and stays where it is until there is
// another.
func TestUnusablePairs(t *testing.T) {
	for what, text := range map[string]string{"empty": "", "noise": "\x00\x01", "a key alone": string(keyPEM(t))} {
		dir, log := t.TempDir(), new(logbook)
		storage := NewFiles(dir)
		key := store{storage, issuerKey(LetsEncrypt)}.pairKey("relay.example.com")
		if err := storage.Store(t.Context(), key, []byte(text)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Config{Names: []string{"relay.example.com"}, Storage: storage, Where: dir, Logger: log.logger()})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.Missing(), "another one is had in its place") || !strings.Contains(log.String(), "not a certificate with its key") {
			t.Errorf("%s: %q, %s", what, s.Missing(), log)
		}
		if _, err := s.Certificate(hello("relay.example.com")); err != ErrNone {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func keyPEM(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestOpenRefuses(t *testing.T) {
	storage := NewFiles(t.TempDir())
	for want, c := range map[string]Config{
		"Storage":           {Names: []string{"relay.example.com"}},
		"Names":             {Storage: storage},
		"no such challenge": {Names: []string{"relay.example.com"}, Storage: storage, Challenge: "dance"},
		"a_b.example":       {Names: []string{"a_b.example"}, Storage: storage},
	} {
		if _, err := Open(c); !has(err, want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestSettings(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	settings := config.Defaults()
	settings.Hostname, settings.PublicIP, settings.TLS.Mode = "relay.example.com", []string{"203.0.113.7"}, config.TLSACME
	for what, test := range map[string]struct {
		acme config.ACME
		dir  string
		want string
	}{
		"as it is":       {config.ACME{}, t.TempDir(), ""},
		"a directory":    {config.ACME{}, filepath.Join(t.TempDir(), "a", "b"), ""},
		"a key":          {config.ACME{EABKeyID: "k", EABKey: file("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV+/==\n")}, t.TempDir(), ""},
		"no such bundle": {config.ACME{CA: "/nonexistent/ca.pem"}, t.TempDir(), "acme.ca"},
		"no key":         {config.ACME{EABKeyID: "k", EABKey: "/nonexistent/key"}, t.TempDir(), "acme.eab-key"},
		"no base64":      {config.ACME{EABKeyID: "k", EABKey: file("secret phrase")}, t.TempDir(), "no key in base64"},
		"below a file":   {config.ACME{}, filepath.Join(file(""), "x"), "is no directory"},
	} {
		settings.ACME = test.acme
		source, err := FromSettings(settings, test.dir, new(logbook).logger())
		if test.want != "" {
			if !has(err, test.want) || has(err, "secret phrase") {
				t.Errorf("%s: %v, want %q", what, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if names := source.Describe().Names; len(names) != 2 {
			t.Errorf("%s: %q", what, names)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"", "0", "120", "99999999999", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "soon"} {
		f.Add(text)
	}
	now := time.Date(2026, 10, 21, 7, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if at := retryAfter(text, now); at.After(now.Add(mostRest)) {
			t.Errorf("%q: until %v", text, at)
		}
	})
}

func FuzzAccount(f *testing.F) {
	f.Add([]byte(`{"location": "https://ca/1", "key": "x"}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"})))
	f.Fuzz(func(t *testing.T, text []byte) {
		account, err := decodeAccount(text)
		if err != nil {
			return
		}
		again, err := decodeAccount(encodeAccount(account))
		if err != nil || again.Location != account.Location {
			t.Errorf("%+v is read again as %+v, %v", account, again, err)
		}
	})
}

func FuzzMAC(f *testing.F) {
	f.Add("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")
	f.Add("+/+/+/+/+/+/+/+/+/+/+/==")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := decodeMAC(text)
		if err == nil && len(key) < 16 || err != nil && err != errNoMAC {
			t.Errorf("%q: %d bytes, %v", text, len(key), err)
		}
	})
}
