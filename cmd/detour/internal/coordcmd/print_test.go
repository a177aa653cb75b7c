package coordcmd

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/coordstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What members say of themselves cannot harm a terminal, and a key that two machines
// have is seen.
func TestMembersTable(t *testing.T) {
	addr := netip.MustParseAddr
	var b strings.Builder
	err := printMembers(&b, "home", []coordapi.Member{
		{Name: "anna", Addresses: []netip.Addr{addr("100.64.0.1"), addr("fd00::1")}, Home: 900, HomeSince: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Online: true, Version: "v1\x1b[31m"},
		{Name: "bob", Home: 7, Disabled: true, Conflict: []netip.Addr{addr("192.0.2.1"), addr("192.0.2.2")}},
	}, map[int]string{900: "one"})
	want := `NAME  ADDRESSES           HOME     HOME SINCE            ONLINE  VERSION  NOTE
anna  100.64.0.1,fd00::1  900 one  2026-01-02T03:04:05Z  yes     v1?[31m  -
bob   -                   7        -                     no      -        disabled; two machines have its key: 192.0.2.1,192.0.2.2
`
	if err != nil || b.String() != want {
		t.Errorf("%v:\n%swant\n%s", err, b.String(), want)
	}
}

// Each banner says what to do next, with the flags that it takes to get there.
func TestBanner(t *testing.T) {
	with := func(change func(*coordserver.Config)) coordserver.Config {
		c := coordserver.Defaults()
		c.Front.TLS.Mode = config.TLSSelf
		change(&c)
		return c
	}
	for want, test := range map[string]struct {
		config coordserver.Config
		state  coordserver.State
	}{
		"The coordinator is ready.\n": {},
		"not ready yet: it waits.\n":  {state: coordserver.State{NotReady: "it waits"}},
		"try it       detour net map set derp.yaml --admin-socket /x/s\n               detour net create home --admin-socket /x/s\n": {state: coordserver.State{Socket: "/x/s"}},
		"try it       detour net create home --coord https://192.0.2.1:9443 --token-file token\n": {
			config: with(func(c *coordserver.Config) { c.Map, c.Front.AdminToken = "m", "token" }), state: coordserver.State{Remote: "192.0.2.1:9443"},
		},
		"note         no command can reach it":         {},
		"state        in memory: it is forgotten":      {config: with(func(c *coordserver.Config) { c.Front.Dev = true })},
		"state        in NATS\n":                       {config: with(func(c *coordserver.Config) { c.NATS = []string{"nats://a:1"} })},
		"state        /x, together with 2 others\n":    {config: with(func(c *coordserver.Config) { c.Cluster = make([]string, 3) }), state: coordserver.State{StateDir: "/x"}},
		"invites name https://a.example, http://b.x\n": {state: coordserver.State{Contacts: []coordserver.Contact{{URL: "https://a.example"}, {URL: "http://b.x"}}}},
	} {
		if text := banner(test.config, test.state); !strings.Contains(text, want) {
			t.Errorf("%s\nhas no %q", text, want)
		}
	}
}

func TestEngineTexts(t *testing.T) {
	for want, e := range map[string]coordstore.State{
		"memory, can be written to":                                        {Engine: "memory", Writable: true},
		"nats, cannot be written to since 2026-01-02T03:04:05Z: no leader": {Engine: "nats", Reason: "no leader", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	} {
		if got := engineText(e); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, r := range map[string]coordstore.ReplicaState{
		"leads": {Leader: true, Current: true}, "is current": {Current: true}, "is behind by 7 changes": {Lag: 7},
	} {
		if got := replicaText(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
