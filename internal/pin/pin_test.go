package pin

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

var digits = strings.Repeat("0123456789abcdef", 4)

func TestParse(t *testing.T) {
	for text, good := range map[string]bool{
		Prefix + digits:                    true,
		Prefix + strings.Repeat("0", 64):   true,
		Prefix + strings.ToUpper(digits):   false,
		strings.ToUpper(Prefix) + digits:   false,
		Prefix + digits[1:]:                false,
		Prefix + digits + "0":              false,
		Prefix + digits[1:] + "g":          false,
		Prefix + " " + digits[1:]:          false,
		" " + Prefix + digits:              false,
		Prefix + digits + "\n":             false,
		"sha256:" + digits:                 false,
		digits:                             false,
		Prefix:                             false,
		"":                                 false,
		"relay.example.com":                false,
		Prefix + strings.Repeat("é", 32):   false,
		Prefix + digits[:62] + "\u0660":    false,
		Prefix + strings.Repeat("0a:", 32): false,
	} {
		p, err := Parse(text)
		if (err == nil) != good || p.IsZero() == good {
			t.Errorf("%q: %v, %v", text, p, err)
		}
		if good && p.String() != text {
			t.Errorf("%q is written as %q", text, p)
		}
		if err != nil && !strings.Contains(err.Error(), "64 lowercase hex digits") {
			t.Errorf("%q: %v: say what is wanted", text, err)
		}
	}
	if (Pin{}).String() != "" {
		t.Error("no pin has a text")
	}
}

// A pin of a hash of zeros is a pin.
func TestZeroHashIsAPin(t *testing.T) {
	p, err := Parse(Prefix + strings.Repeat("0", 64))
	if err != nil || p.IsZero() || p == (Pin{}) {
		t.Errorf("%v, %v", p, err)
	}
}

func TestIs(t *testing.T) {
	for text, want := range map[string]bool{Prefix: true, Prefix + "what": true, "a." + Prefix: false, "": false, digits: false} {
		if Is(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Prefix + digits)
	f.Add(Prefix + strings.ToUpper(digits))
	f.Add("relay.example.com")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err == nil && p.String() != text {
			t.Errorf("%q is written as %q", text, p)
		}
		if err == nil && !Is(text) {
			t.Errorf("%q is a pin that Is does not know", text)
		}
	})
}

func certificate(t *testing.T, name, commonName string) *x509.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: commonName},
		NotBefore: time.Unix(1000, 0), NotAfter: time.Unix(2000, 0),
	}
	if name != "" {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// The rules are those of the DERP map's pins (spec 7.4).
func TestVerify(t *testing.T) {
	const host = "a.example.com"
	leaf, other := certificate(t, host, ""), certificate(t, host, "")
	nameless := certificate(t, "", host) // a common name is no name
	meta := certificate(t, "", derp.MetaCertName(key.Public{1}))
	later := certificate(t, "", "derpkey of a version to come")
	notMeta := certificate(t, "", "not a derpkey")
	p := Of(leaf)
	chain := func(certs ...*x509.Certificate) []*x509.Certificate { return certs }
	for name, c := range map[string]struct {
		pin   Pin
		chain []*x509.Certificate
		host  string
		at    int64  // Unix time
		want  string // empty: accepted
		other bool   // ErrMismatch
	}{
		"alone":                {p, chain(leaf), host, 1500, "", false},
		"with meta":            {p, chain(leaf, meta), host, 1500, "", false},
		"with several":         {p, chain(leaf, meta, later, meta), host, 1500, "", false},
		"case and dot":         {p, chain(leaf), "A.Example.com.", 1500, "", false},
		"an address":           {p, chain(leaf), "192.0.2.1", 1500, "", false},
		"an IPv6 address":      {p, chain(leaf), "2001:db8::1", 1500, "", false},
		"no name":              {p, chain(leaf), "", 1500, "", false},
		"first second":         {p, chain(leaf), host, 1000, "", false},
		"last second":          {p, chain(leaf), host, 2000, "", false},
		"another":              {p, chain(other), host, 1500, Of(other).String() + ", want " + p.String(), true},
		"nothing pinned":       {Pin{}, chain(leaf), host, 1500, Of(leaf).String(), true},
		"only sent along":      {p, chain(other, leaf), host, 1500, "has to be alone", true},
		"behind a meta":        {p, chain(meta, leaf), host, 1500, "has to be alone", true},
		"with a chain":         {p, chain(leaf, other), host, 1500, "1 more", true},
		"with a long chain":    {p, chain(leaf, other, meta, notMeta), host, 1500, "2 more", true},
		"twice":                {p, chain(leaf, leaf), host, 1500, "has to be alone", true},
		"other name":           {p, chain(leaf), "b.example.com", 1500, "not b.example.com", false},
		"below the name":       {p, chain(leaf), "b.a.example.com", 1500, "not b.a.example.com", false},
		"without names":        {Of(nameless), chain(nameless), host, 1500, "x509", false},
		"without, for address": {Of(nameless), chain(nameless), "::1", 1500, "", false},
		"not yet valid":        {p, chain(leaf), host, 999, "the clock here says 1970-01-01 00:16:39", false},
		"expired":              {p, chain(leaf), host, 2001, "valid from 1970-01-01 00:16:40 +0000 UTC to", false},
	} {
		err := c.pin.Verify(c.chain, c.host, time.Unix(c.at, 0))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrMismatch) != c.other {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Whoever wants to say what to do about the time can tell that it is the time.
func TestVerifyTellsThatItIsTheTime(t *testing.T) {
	leaf := certificate(t, "a.example.com", "")
	err := Of(leaf).Verify([]*x509.Certificate{leaf}, "a.example.com", time.Unix(3000, 0))
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); !ok || invalid.Reason != x509.Expired || invalid.Cert != leaf {
		t.Errorf("%v", err)
	}
}

// No two certificates have a pin in common, whichever bit they differ in, and the
// text is that of the plain hash.
func TestPinsDifferInEachBit(t *testing.T) {
	raw := certificate(t, "a.example.com", "").Raw
	p := OfRaw(raw)
	if want := fmt.Sprintf("%s%x", Prefix, sha256.Sum256(raw)); p.String() != want {
		t.Errorf("%v, want %s", p, want)
	}
	for bit := range 8 * len(raw) {
		other := append([]byte(nil), raw...)
		other[bit/8] ^= 1 << (bit % 8)
		if OfRaw(other) == p {
			t.Errorf("bit %d makes no difference", bit)
		}
	}
	for bit := range 8 * len(p.sum) {
		other := p
		other.sum[bit/8] ^= 1 << (bit % 8)
		if again, err := Parse(other.String()); err != nil || again != other || again == p {
			t.Errorf("bit %d: %v, %v", bit, again, err)
		}
	}
}
