package wgcmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/wgproxy"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHomes(t *testing.T) {
	k := key.NewPrivate().Public()
	for text, region := range map[string]string{
		wireGuard(k) + "=901": "901", wireGuard(k) + "=ams": "ams", k.String() + "=901": "901",
		"": "", "=": "", "901": "", wireGuard(k): "", wireGuard(k) + "=": "", "=901": "", wireGuard(k)[:40] + "=901": "",
		wireGuard(key.Public{}) + "=901": "", key.Public{}.String() + "=901": "", "nodekey:00=901": "",
	} {
		got, err := parseHomes([]string{text})
		if region == "" && err == nil || region != "" && (err != nil || len(got) != 1 || got[0] != home{k, region}) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if _, err := parseHomes([]string{wireGuard(k) + "=1", k.String() + "=1"}); err != nil {
		t.Errorf("the same twice: %v", err)
	}
	if _, err := parseHomes([]string{wireGuard(k) + "=1", k.String() + "=2"}); err == nil {
		t.Error("a peer is in two regions")
	}
}

func TestRegions(t *testing.T) {
	m := &derpmap.Map{Regions: map[int]*derpmap.Region{901: {RegionID: 901, RegionCode: "one"}, 902: {RegionID: 902, RegionCode: "two"}}}
	for text, want := range map[string]int{"901": 901, "one": 901, "two": 902, "903": 0, "three": 0, "": 0, "-1": 0} {
		got, err := findRegion(m, text)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
	if _, err := findRegion(m, "903"); !strings.Contains(err.Error(), "901 one, 902 two") {
		t.Error(err)
	}
	fixed := atHome(m, 902)
	if !fixed.Regions[901].NoMeasureNoHome || fixed.Regions[902].NoMeasureNoHome || m.Regions[901].NoMeasureNoHome {
		t.Error("the home is not where it was said")
	}
	if atHome(m, 0) != m || atHome(m, 903) != m || atHome(nil, 1) != nil {
		t.Error("nothing was said, and the map is another one")
	}
}

// known is what a coordinator has told.
func known(k key.Public) peer {
	switch k {
	case key.Public{1}:
		return peer{Name: "ben", Home: 901, Member: true}
	case key.Public{2}:
		return peer{Home: 902}
	}
	return peer{}
}

func TestLines(t *testing.T) {
	at, own := netip.MustParseAddrPort("192.0.2.1:51820"), netip.MustParseAddrPort("127.0.0.1:4000")
	one, two, three := key.Public{1}, key.Public{2}, key.Public{3}
	for want, e := range map[string]wgproxy.Event{
		"peer " + wireGuard(one) + " (ben) at home in 901, was at 192.0.2.1:51820":                   {Type: wgproxy.PeerAdded, Peer: one, Endpoint: at, Own: own},
		"peer " + wireGuard(two) + " at home in 902":                                                 {Type: wgproxy.PeerAdded, Peer: two, Own: own},
		"peer " + wireGuard(three) + ": nobody says where it is: it is looked for in our own region": {Type: wgproxy.PeerAdded, Peer: three, Own: own},
		"gone " + wireGuard(one): {Type: wgproxy.PeerGone, Peer: one},
		"peer " + wireGuard(one) + " was given the endpoint 192.0.2.1:51820: it goes through relays again, and has that in the end": {Type: wgproxy.EndpointMoved, Peer: one, Endpoint: at, Own: own},
		"2 endpoints, which a run before had left, as before that":                                                                  {Type: wgproxy.Restored, Count: 2},
		"mark 0xca6c":           {Type: wgproxy.MarkChanged, Mark: 51820},
		"port 51821":            {Type: wgproxy.PortChanged, Port: 51821},
		"key " + wireGuard(two): {Type: wgproxy.KeyChanged, Key: two},
		"all is well again":     {Type: wgproxy.TroubleOver},
		"wg0: a?b: broken":      {Type: wgproxy.Trouble, Err: errors.New("wg0: a\x1bb: broken")},
		"the system allows buffers of 208.0 KB only, so that bursts may be lost: allow more (sysctl net.core.rmem_max=7340032), or be root": {Type: wgproxy.SmallBuffers, Count: 208 << 10},
	} {
		var text, lines bytes.Buffer
		for _, p := range []*printer{newPrinter(&text, "wg0", false), newPrinter(&lines, "wg0", true)} {
			p.about = known
			p.proxy(e)
		}
		if _, got, _ := strings.Cut(text.String(), " "); got != want+"\n" {
			t.Errorf("%q\nwant\n%q", got, want)
		}
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Event != string(e.Type) || l.Interface != "wg0" || l.Time.IsZero() {
			t.Errorf("%s: %v", lines.String(), err)
		}
	}
}

func TestBeginAndEnd(t *testing.T) {
	var b bytes.Buffer
	p := newPrinter(&b, "wg0", false)
	secret := key.NewPrivate()
	p.begin(wgproxy.State{Key: secret, Port: 51820, Everything: true}, known, &self{Name: "anna", Tailnet: "home", Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.1")}, StateFile: "s.json"})
	p.end(wgproxy.Stats{Out: 1, In: 2, Strangers: 3, Undone: 4}, 5)
	for _, want := range []string{
		"wireguard  wg0, port 51820\nkey        " + wireGuard(secret.Public()) + "\nmember     anna of home (100.64.0.1)\nstate      s.json\n",
		"wg0 has no mark: if a default route leads into it, connections to relays would, too: wg set wg0 fwmark 51820",
		"end: packets 1 to peers, 2 from them; dropped: 5 that no relay had room for, 3 from keys that are no peers, 4 that WireGuard did not take\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing:\n%s", want, b.String())
		}
	}
	b.Reset()
	p.begin(wgproxy.State{Key: secret, Port: 1, Mark: 51820, Everything: true}, known, nil)
	if !strings.HasPrefix(b.String(), "wireguard  wg0, port 1, mark 0xca6c\nkey ") || strings.Contains(b.String(), "no mark") {
		t.Error(b.String())
	}
}

// A member that is no peer is told once, with what makes it one; a peer whose home changes
// is told again.
func TestMembers(t *testing.T) {
	var b bytes.Buffer
	p := newPrinter(&b, "wg0", false)
	stranger := tailnet.Peer{Key: key.Public{9}, Name: "dora", Addresses: []netip.Addr{netip.MustParseAddr("100.64.0.9"), netip.MustParseAddr("fd00::9")}}
	p.member(nil, tailnet.Event{Type: tailnet.PeerAdded, Peer: stranger})
	if b.Len() > 0 {
		t.Errorf("before all else: %s", b.String())
	}
	home := 901
	about := func(key.Public) peer { return peer{Name: "ben", Home: home} }
	p.begin(wgproxy.State{Key: key.NewPrivate(), Peers: map[key.Public]netip.AddrPort{{1}: {}}}, about, nil)
	b.Reset()
	ben := tailnet.Peer{Key: key.Public{1}, Name: "ben"}
	p.member(nil, tailnet.Event{Type: tailnet.PeerChanged, Peer: ben}) // the device was not looked at yet
	p.proxy(wgproxy.Event{Type: wgproxy.PeerAdded, Peer: ben.Key})
	p.member(nil, tailnet.Event{Type: tailnet.PeerChanged, Peer: ben})
	home = 902
	for range 2 {
		p.member(nil, tailnet.Event{Type: tailnet.PeerChanged, Peer: ben})
		p.member(nil, tailnet.Event{Type: tailnet.PeerAdded, Peer: stranger})
		p.member(nil, tailnet.Event{Type: tailnet.MapChanged})
	}
	p.member(nil, tailnet.Event{Type: tailnet.IsAway, Err: errors.New("no\nway")})
	want := []string{
		"peer " + wireGuard(ben.Key) + " (ben) at home in 901", "peer " + wireGuard(ben.Key) + " (ben) at home in 902",
		"member dora is no peer of wg0: wg set wg0 peer " + wireGuard(stranger.Key) + " allowed-ips 100.64.0.9/32,fd00::9/128",
		"away, and packets flow on: no way",
	}
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(got) != len(want) {
		t.Fatalf("%s", b.String())
	}
	for i := range want {
		if _, text, _ := strings.Cut(got[i], " "); text != want[i] {
			t.Errorf("%q, want %q", text, want[i])
		}
	}
}

func TestRelaysAreTold(t *testing.T) {
	var b bytes.Buffer
	p := newPrinter(&b, "wg0", false)
	refused := client.HostState{Regions: []client.HostRegionState{{ID: 901, RegionState: client.RegionState{Err: fmt.Errorf("x: %w", client.ErrAdmissionRefused)}}}}
	at := client.HostState{Connected: true, Home: client.Home{Region: 901, Reason: "nearest"}}
	for _, s := range []client.HostState{refused, refused, at, at} {
		p.host(s)
	}
	got := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(got) != 2 || !strings.HasSuffix(got[0], "relay of region 901: x: relay closed the connection instead of admitting us: the relay admits only peers it knows") ||
		!strings.HasSuffix(got[1], "home 901 (nearest)") {
		t.Error(b.String())
	}
}

func TestExplained(t *testing.T) {
	for err, want := range map[error]string{
		wgproxy.ErrNoInterface:                     "wg-quick up wg0",
		wgproxy.ErrNoKey:                           "wg genkey | wg set wg0 private-key",
		fmt.Errorf("wg0: %w", wgproxy.ErrNoRight):  "be root",
		fmt.Errorf("f.lock: %w", wgproxy.ErrInUse): `another "detour wg" stands before wg0`,
		errOtherKey: "start this again with an invite",
	} {
		if got := explained("wg0", err); !errors.Is(got, err) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v", got)
		}
	}
	if explained("wg0", nil) != nil {
		t.Error("nothing is wrong, and something is said")
	}
}
