package mesh

import (
	"net/netip"
	"strings"
	"testing"
)

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
