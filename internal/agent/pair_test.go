package agent

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/agent/pair"
	"github.com/detour-relay/detour/internal/agent/usernet"
	"github.com/detour-relay/detour/internal/pairing"
	"github.com/detour-relay/detour/internal/pin"
)

// newPaired is a machine without a coordinator.
func newPaired(t testing.TB, cfg pair.Config) *machine {
	t.Helper()
	network, err := usernet.New(1280)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), Config{Pair: &cfg, Network: network, RelayOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	m := &machine{a, network}
	m.echo(t)
	return m
}

// asRelay is how the two are told of a relay.
func (r *testRelay) asRelay(t testing.TB) pairing.Relay {
	t.Helper()
	p, err := pin.Parse(r.pin)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(r.addr)
	n, _ := strconv.Atoi(port)
	return pairing.Relay{Host: host, Port: uint16(n), Pin: p}
}

// Two machines that only have a relay meet by a token, and have TCP both ways with a key
// of WireGuard that nobody else has; so they do after a restart of each.
func TestMachinesArePaired(t *testing.T) {
	relay, dir := startRelay(t), t.TempDir()
	anna := newPaired(t, pair.Config{StateFile: filepath.Join(dir, "anna.json"), Name: "anna", Relays: []pairing.Relay{relay.asRelay(t)}})
	token, err := anna.Pair().Invite()
	if err != nil {
		t.Fatal(err)
	}
	text, err := token.Text()
	if err != nil {
		t.Fatal(err)
	}
	ben := newPaired(t, pair.Config{StateFile: filepath.Join(dir, "ben.json"), Name: "ben", Token: text})
	ben.knows(t, 1)
	anna.knows(t, 1)
	says(t, ben.dial(t, anna.addr()), "hello")
	says(t, anna.dial(t, ben.addr()), "and back")
	for _, m := range []*machine{anna, ben} {
		if want := fmt.Sprintf("preshared_key=%x\n", m.Pair().Preshared(m.member.Peers()[0].Key)); !strings.Contains(mustGet(t, m), want) {
			t.Errorf("%s has no preshared key:\n%s", m.member.Self().Name, mustGet(t, m))
		}
	}
	s, err := anna.Status()
	if err != nil || s.Phase != pair.Paired || s.Coordinator != "" || s.Tailnet != "" || len(s.Peers) != 1 || s.Peers[0].Name != "ben" || s.Problem != "" {
		t.Errorf("%+v, %v", s, err)
	}

	if err := anna.Close(); err != nil {
		t.Fatal(err)
	}
	anna = newPaired(t, pair.Config{StateFile: filepath.Join(dir, "anna.json")})
	says(t, anna.dial(t, ben.addr()), "after a restart")
	if err := ben.Close(); err != nil {
		t.Fatal(err)
	}
	ben = newPaired(t, pair.Config{StateFile: filepath.Join(dir, "ben.json")})
	says(t, anna.dial(t, ben.addr()), "of each")
	says(t, ben.dial(t, anna.addr()), "both ways")
}

// A preshared key that somebody else has changed is set right.
func TestThePresharedKeyIsLookedAt(t *testing.T) {
	relay, dir := startRelay(t), t.TempDir()
	anna := newPaired(t, pair.Config{StateFile: filepath.Join(dir, "anna.json"), Relays: []pairing.Relay{relay.asRelay(t)}})
	token, err := anna.Pair().Invite()
	if err != nil {
		t.Fatal(err)
	}
	text, _ := token.Text()
	ben := newPaired(t, pair.Config{StateFile: filepath.Join(dir, "ben.json"), Token: text})
	ben.knows(t, 1)
	anna.knows(t, 1)
	want, k := settings(mustGet(t, anna)), ben.member.Self().Key
	for _, preshared := range []int{0, 5} {
		if err := anna.device.IpcSet(fmt.Sprintf("public_key=%s\npreshared_key=%064x\n", k.Hex(), preshared)); err != nil {
			t.Fatal(err)
		}
		anna.reconcile()
		if got := settings(mustGet(t, anna)); got != want {
			t.Errorf("%d:\n%s\nwant\n%s", preshared, got, want)
		}
	}
}
