package membercmd

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/agent"
	"github.com/detour-relay/detour/internal/agent/usernet"
	"github.com/detour-relay/detour/tailnet"
)

func TestForwards(t *testing.T) {
	for text, want := range map[string]usernet.Forward{
		"2222:ben:22":       {Listen: "127.0.0.1:2222", Name: "ben", Port: 22},
		"1:100.64.0.2:2":    {Listen: "127.0.0.1:1", Name: "100.64.0.2", Port: 2},
		"80:[fd00::2]:8080": {Listen: "127.0.0.1:80", Name: "fd00::2", Port: 8080},
		"":                  {}, "22": {}, "22:ben": {}, "22::22": {}, "x:ben:22": {}, "22:ben:x": {}, "22:ben:0": {}, "65536:ben:22": {}, "22:fd00::2:22": {},
	} {
		got, err := parseForward(text)
		if want.Name != "" && (err != nil || got != want) || want.Name == "" && err == nil {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestListenAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "1080": "127.0.0.1:1080", ":1080": "127.0.0.1:1080", "0.0.0.0:1080": "0.0.0.0:1080", "[::1]:0": "[::1]:0",
		"x": "?", "1.2.3.4": "?", "h:p": "?", "99999": "?",
	} {
		got, err := listenAddress(text)
		if want == "?" && err == nil || want != "?" && (err != nil || got != want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestStatusIsPrinted(t *testing.T) {
	now := time.Date(2026, 11, 29, 1, 2, 3, 0, time.UTC)
	own := []netip.Addr{netip.MustParseAddr("100.64.0.1")}
	s := agent.Status{
		Name: "anna", Tailnet: "home", Addresses: own, Interface: "detour0", MTU: 1280, Phase: tailnet.Away, Home: 901, HomeCode: "one", Problem: "a\x1bb",
		Peers: []agent.PeerStatus{
			{Name: "ben", Addresses: own, Path: "relay 901 one", RoundTrip: 1.5, Handshake: now.Add(-90 * time.Second), Received: 1 << 20, Sent: 5},
			{Key: "nodekey:00"},
		},
	}
	const want = `member   anna of home (100.64.0.1)
tunnel   detour0, MTU 1280
home     relay 901 one, not connected
coord    away: what was known last counts
problem  a?b

NAME        ADDRESSES   PATH           ROUND TRIP  HANDSHAKE  RECEIVED   SENT
ben         100.64.0.1  relay 901 one  1.500 ms    1m30s ago  1024.0 KB  5 B
nodekey:00              -              -           -          0 B        0 B
`
	var b bytes.Buffer
	if writeStatus(&b, s, 0, now); b.String() != want {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if writeStatus(&b, agent.Status{Phase: tailnet.Connected, Coordinator: "https://c"}, 0, now); !strings.Contains(b.String(), "home     none yet\ncoord    https://c\n\nThere is no other member.\n") {
		t.Errorf("%s", b.String())
	}
}
