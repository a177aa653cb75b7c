package membercmd

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/dist"
)

// The service has each flag that is not for joining. Whoever adds one decides which it is.
func TestFlagsOfTheService(t *testing.T) {
	cmd := NewUp()
	if err := cmd.ParseFlags([]string{
		"--state", "x", "--name", "n", "--invite-file", "i", "--install", "--root", "r", "--userspace", "--mtu", "1400", "--expose", "1,2", "--expose", "3", "--socks", "",
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := carried(cmd.Flags()), []string{"--expose=1,2", "--expose=3", "--mtu=1400", "--socks=", "--userspace=true"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	kept := "ca expose forward interface log-format log-level mtu port relay-only socks userspace"
	var all []string
	NewUp().Flags().VisitAll(func(f *pflag.Flag) {
		for _, name := range once {
			if f.Name == name {
				return
			}
		}
		all = append(all, f.Name)
	})
	if got := strings.Join(all, " "); got != kept {
		t.Errorf("a service would have the flags %s, and is known to need %s", got, kept)
	}
}

// Without an interface there is no right to make one, and with one no other right.
func TestRightsOfTheService(t *testing.T) {
	f := new(upFlags)
	if f.unitText() != dist.MemberUnit {
		t.Error("the unit is not the one for an interface")
	}
	f.port = 500
	if text := f.unitText(); strings.Count(text, "=CAP_NET_ADMIN CAP_NET_BIND_SERVICE\n") != 2 {
		t.Errorf("--port 500: %s", text)
	}
	f.port = 0
	for _, c := range []struct{ socks, right string }{{"", ""}, {"127.0.0.1:1080", ""}, {"127.0.0.1:80", "CAP_NET_BIND_SERVICE"}} {
		f.userspace, f.socks = true, c.socks
		text := f.unitText()
		for _, line := range []string{"\nAmbientCapabilities=" + c.right + "\n", "\nCapabilityBoundingSet=" + c.right + "\n", "\nPrivateDevices=yes\n"} {
			if !strings.Contains(text, line) {
				t.Errorf("--socks %s: no line %q", c.socks, line)
			}
		}
		if strings.Contains(text, "NET_ADMIN") || strings.Contains(text, "/dev/net/tun") || strings.Contains(text, "interface of the tunnel") {
			t.Errorf("--socks %s: %s", c.socks, text)
		}
	}
}
