package mesh

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/key"
)

// The rules are those of the DERP map's pins (spec 7.4).
func TestVerifyPin(t *testing.T) {
	_, pin, leaf := selfSigned(t, "a.example.com", key.Public{1})
	_, _, other := selfSigned(t, "a.example.com", key.Public{1})
	meta := &x509.Certificate{Subject: pkix.Name{CommonName: metaPrefix + strings.Repeat("00", 32)}}
	now := time.Now()
	for name, c := range map[string]struct {
		certs []*x509.Certificate
		entry string
		at    time.Time
		want  string // empty: accepted
		pin   bool   // it is not the pinned one
	}{
		"alone":           {[]*x509.Certificate{leaf}, "a.example.com", now, "", false},
		"with meta":       {[]*x509.Certificate{leaf, meta}, "A.example.com.:444", now, "", false},
		"address":         {[]*x509.Certificate{leaf}, "192.0.2.1", now, "", false},
		"another":         {[]*x509.Certificate{other}, "a.example.com", now, "it is sha256-raw:", true},
		"only sent along": {[]*x509.Certificate{other, leaf}, "a.example.com", now, "has to be alone", true},
		"with a chain":    {[]*x509.Certificate{leaf, other}, "a.example.com", now, "has to be alone", true},
		"behind a meta":   {[]*x509.Certificate{meta, leaf}, "a.example.com", now, "has to be alone", true},
		"other name":      {[]*x509.Certificate{leaf}, "b.example.com", now, "not b.example.com", false},
		"expired":         {[]*x509.Certificate{leaf}, "a.example.com", now.Add(10 * 365 * 24 * time.Hour), "is valid from", false},
		"not yet valid":   {[]*x509.Certificate{leaf}, "a.example.com", now.Add(-24 * time.Hour), "is valid from", false},
	} {
		e := mustParse(t, c.entry+"="+pin)[0]
		err := verifyPin(c.certs, target{Entry: e}, c.at)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || errors.Is(err, errPin) != c.pin {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if sum := sha256.Sum256(leaf.Raw); pinPrefix+hex.EncodeToString(sum[:]) != pin {
		t.Errorf("pin is %s", pin)
	}
}

func TestDistinctAddresses(t *testing.T) {
	var found []netip.Addr
	for _, text := range []string{"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::1"} {
		found = append(found, netip.MustParseAddr(text))
	}
	var got []string
	for _, addr := range distinct(append(found, netip.Addr{})) {
		got = append(got, addr.String())
	}
	if want := "192.0.2.1 2001:db8::1 192.0.2.2"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
