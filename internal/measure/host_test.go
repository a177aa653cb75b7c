package measure

import (
	"net"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/home"
)

func TestFamiliesOf(t *testing.T) {
	for addrs, want := range map[string]home.Families{
		"":                                    {},
		"127.0.0.1/8 ::1/128":                 {},
		"169.254.3.4/16 fe80::1/64":           {},
		"0.0.0.0/0 224.0.0.1/4 ff02::1/16":    {},
		"127.0.0.1/8 192.168.1.2/24":          {IPv4: true},
		"fe80::1/64 2001:db8::1/64":           {IPv6: true},
		"fd00::1/8":                           {IPv6: true},
		"100.64.0.1/10 ::1/128 2001:db8::/32": {IPv4: true, IPv6: true},
	} {
		list := []net.Addr{&net.UnixAddr{}, &net.IPNet{}}
		for text := range strings.FieldsSeq(addrs) {
			ip, network, err := net.ParseCIDR(text)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		if got := familiesOf(list); got != want {
			t.Errorf("%q: %+v, want %+v", addrs, got, want)
		}
	}
}
