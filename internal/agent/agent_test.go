package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/agent/usernet"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// Two machines join, and have TCP both ways, over IPv4 and IPv6. Who joins later is
// reached, too, and who is removed is not a peer any more.
func TestMachinesMeet(t *testing.T) {
	c := startCoordinator(t, startRelay(t).derpMap())
	dir := t.TempDir()
	anna, ben := newMachine(t, dir, "anna", c.invite), newMachine(t, dir, "ben", c.invite)
	anna.echo(t)
	ben.echo(t)
	anna.knows(t, 1)
	ben.knows(t, 1)
	says(t, anna.dial(t, ben.addr()), "there")
	says(t, ben.dial(t, anna.addr()), "and back")
	for _, a := range ben.member.Self().Addresses {
		says(t, anna.dial(t, a), a.String())
	}

	cleo := newMachine(t, dir, "cleo", c.invite)
	anna.knows(t, 2)
	says(t, cleo.dial(t, anna.addr()), "later")
	c.expel("cleo")
	anna.knows(t, 1)
	if strings.Contains(mustGet(t, anna), cleo.member.Self().Key.Hex()) {
		t.Error("who was removed is a peer of the device")
	}
	says(t, anna.dial(t, ben.addr()), "as before")
}

// newTwo are two machines, of which anna knows how to reach ben, who answers.
func newTwo(t testing.TB, dir string, c *testCoordinator) (anna, ben *machine) {
	t.Helper()
	anna, ben = newMachine(t, dir, "anna", c.invite), newMachine(t, dir, "ben", c.invite)
	ben.echo(t)
	anna.knows(t, 1)
	return anna, ben
}

func mustGet(t testing.TB, m *machine) string {
	t.Helper()
	config, err := m.device.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestStatus(t *testing.T) {
	c := startCoordinator(t, startRelay(t).derpMap())
	anna, ben := newTwo(t, t.TempDir(), c)
	says(t, anna.dial(t, ben.addr()), "hello")
	eventually(t, "the home of ben is told", func() bool {
		p, _ := anna.member.PeerNamed("ben")
		return p.Home == 901
	})
	s, err := anna.Status()
	if err != nil || len(s.Peers) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	p := s.Peers[0]
	if p.Name != "ben" || p.Path != "relay 901 one" || p.RoundTrip < 0 || p.Handshake.IsZero() || p.Sent == 0 || p.Received == 0 || len(p.Addresses) != 2 {
		t.Errorf("%+v", p)
	}
	if s.Name != "anna" || s.Tailnet != "home" || s.MTU != 1280 || s.Interface != "userspace" || s.Home != 901 || s.HomeCode != "one" || !s.Connected || s.Problem != "" {
		t.Errorf("%+v", s)
	}
	if all, known := anna.Resolve("ben"); !known || all[0] != ben.addr() {
		t.Error(all)
	}
	if all, known := anna.Resolve(p.Key); !known || all[0] != ben.addr() {
		t.Error(all)
	}
	if _, known := anna.Resolve("nobody"); known {
		t.Error("nobody is known")
	}
}

// A connection outlives its relay.
func TestTheRelayIsRestarted(t *testing.T) {
	relay := startRelay(t)
	c := startCoordinator(t, relay.derpMap())
	anna, ben := newTwo(t, t.TempDir(), c)
	conn := anna.dial(t, ben.addr())
	says(t, conn, "before")
	relay.stop()
	eventually(t, "the relay is missed", func() bool { return !anna.Host().State().Connected })
	relay.start()
	says(t, conn, "after")
}

// Who is restarted is reached at once by who has keys from before, and does not know of it.
func TestAMemberIsRestarted(t *testing.T) {
	c := startCoordinator(t, startRelay(t).derpMap())
	dir := t.TempDir()
	anna, ben := newTwo(t, dir, c)
	says(t, anna.dial(t, ben.addr()), "before")
	if err := ben.Close(); err != nil {
		t.Fatal(err)
	}
	again := newMachine(t, dir, "ben", "")
	again.echo(t)
	says(t, anna.dial(t, again.addr()), "after")
}

// With a state file nobody needs a coordinator.
func TestTheCoordinatorIsAway(t *testing.T) {
	c := startCoordinator(t, startRelay(t).derpMap())
	dir := t.TempDir()
	anna, ben := newTwo(t, dir, c)
	conn := anna.dial(t, ben.addr())
	says(t, conn, "before")
	c.stop()
	says(t, conn, "meanwhile")
	if err := anna.Close(); err != nil {
		t.Fatal(err)
	}
	again := newMachine(t, dir, "anna", "")
	says(t, again.dial(t, ben.addr()), "with what was known")
	eventually(t, "the status says it", func() bool {
		s, err := again.Status()
		return err == nil && s.Phase == tailnet.Away && s.Problem != ""
	})
}

// Who is not told of comes in all the same: the coordinator is asked about the first
// packet, which is answered.
func TestAGuest(t *testing.T) {
	c := startCoordinator(t, startRelay(t).derpMap())
	dir := t.TempDir()
	ben := openMachine(t, tailnet.Config{StateFile: filepath.Join(dir, "ben.json"), Name: "ben", Invite: c.invite, DialContext: c.bySide})
	ben.echo(t)
	eventually(t, "ben is at home", func() bool { return ben.member.State().Home == 901 })
	c.deafen()
	anna := newMachine(t, dir, "anna", c.invite)
	anna.knows(t, 1)
	says(t, anna.dial(t, ben.addr()), "knock")
	if _, known := ben.member.Peer(anna.member.Self().Key); known {
		t.Error("ben was told of anna")
	}
}

// Who is nobody stays out.
func TestAStranger(t *testing.T) {
	c := startCoordinator(t, startRelay(t).derpMap())
	ben := newMachine(t, t.TempDir(), "ben", c.invite)
	if ben.ask(t.Context(), key.NewPrivate().Public()) {
		t.Error("a key that the tailnet does not have was let in")
	}
	if config := mustGet(t, ben); strings.Contains(config, "public_key=") {
		t.Error(config)
	}
}

// What somebody else has set is set right.
func TestTheDeviceIsLookedAt(t *testing.T) {
	c := startCoordinator(t, startRelay(t).derpMap())
	anna, ben := newTwo(t, t.TempDir(), c)
	says(t, anna.dial(t, ben.addr()), "hello")
	k, stranger := ben.member.Self().Key, key.NewPrivate().Public()
	want := settings(mustGet(t, anna))
	for name, change := range map[string]string{
		"removed":      fmt.Sprintf("public_key=%s\nremove=true\n", k.Hex()),
		"stranger":     fmt.Sprintf("public_key=%s\nallowed_ip=10.0.0.0/8\n", stranger.Hex()),
		"endpoint":     fmt.Sprintf("public_key=%s\nendpoint=%s\n", k.Hex(), stranger),
		"preshared":    fmt.Sprintf("public_key=%s\npreshared_key=%064x\n", k.Hex(), 5),
		"keepalive":    fmt.Sprintf("public_key=%s\npersistent_keepalive_interval=25\n", k.Hex()),
		"no addresses": fmt.Sprintf("public_key=%s\nreplace_allowed_ips=true\n", k.Hex()),
		"too many":     fmt.Sprintf("public_key=%s\nallowed_ip=0.0.0.0/0\n", k.Hex()),
		"stolen":       fmt.Sprintf("public_key=%s\nallowed_ip=%s/32\n", stranger.Hex(), ben.addr()),
	} {
		if err := anna.device.IpcSet(change); err != nil {
			t.Fatal(err)
		}
		if got := settings(mustGet(t, anna)); got == want {
			t.Errorf("%s: nothing was changed", name)
		}
		anna.reconcile()
		if got := settings(mustGet(t, anna)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	says(t, anna.dial(t, ben.addr()), "hello again")
}

// settings leaves out what nobody sets.
func settings(config string) string {
	var all []string
	for line := range strings.Lines(config) {
		name, _, _ := strings.Cut(line, "=")
		switch name {
		case "public_key", "preshared_key", "endpoint", "persistent_keepalive_interval", "allowed_ip":
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// An interface that is taken away ends the agent's work, and that is told.
func TestTheDeviceIsGone(t *testing.T) {
	c := startCoordinator(t, startRelay(t).derpMap())
	anna := newMachine(t, t.TempDir(), "anna", c.invite)
	anna.net.Device().Close()
	<-anna.Gone()
	if err := anna.Close(); err != nil {
		t.Error(err)
	}
}

// What cannot be opened leaves nothing behind.
func TestOpenFails(t *testing.T) {
	network, err := usernet.New(1280)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Member: tailnet.Config{StateFile: filepath.Join(t.TempDir(), "a.json")}, Network: network})
	if !errors.Is(err, tailnet.ErrNotJoined) {
		t.Error(err)
	}
	if _, ok := <-network.Device().Events(); ok {
		<-network.Device().Events() // closed
	}
}

func TestWanted(t *testing.T) {
	keys := make([]key.Public, 4)
	for i := range keys {
		keys[i][0] = byte(i + 1)
	}
	at := func(texts ...string) (all []netip.Addr) {
		for _, text := range texts {
			all = append(all, netip.MustParseAddr(text))
		}
		return all
	}
	wanted := wantedOf(at("100.64.0.1"), []tailnet.Peer{
		{Key: keys[2], Addresses: at("100.64.0.2", "fd00::3")},
		{Key: keys[1], Addresses: at("100.64.0.1", "100.64.0.2", "fd00::2")}, // says it is us, too
	}, []tailnet.Peer{{Key: keys[0], Addresses: at("fd00::2", "100.64.0.4")}})
	for k, want := range map[key.Public][]netip.Addr{
		keys[0]: at("100.64.0.4"), keys[1]: at("100.64.0.2", "fd00::2"), keys[2]: at("fd00::3"),
	} {
		if got := fmt.Sprint(wanted[k]); got != fmt.Sprint(want) {
			t.Errorf("%s: %s, want %s", k.Short(), got, want)
		}
	}
	if len(wanted) != 3 {
		t.Errorf("%d are wanted", len(wanted))
	}
}

func FuzzReadDevice(f *testing.F) {
	f.Add("private_key=00\nlisten_port=1\npublic_key=" + strings.Repeat("0a", 32) + "\npreshared_key=00\nendpoint=nodekey:00\nlast_handshake_time_sec=1\nlast_handshake_time_nsec=2\ntx_bytes=3\nrx_bytes=4\npersistent_keepalive_interval=0\nallowed_ip=10.0.0.1/32\n")
	f.Add("public_key=zz\n")
	f.Add("rx_bytes=1\n=\n")
	f.Fuzz(func(t *testing.T, config string) {
		found, err := readDevice(config)
		if err != nil {
			return
		}
		for k := range found {
			if !strings.Contains(strings.ToLower(config), k.Hex()) {
				t.Errorf("%s is made up", k)
			}
		}
	})
}
