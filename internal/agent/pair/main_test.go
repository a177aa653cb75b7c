package pair

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/internal/pairing"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world has regions, in each of which machines can be found. What is sent to who is not
// in the region is lost.
type world struct {
	mu       sync.Mutex
	machines map[key.Public]*machine
	sent     int
	lose     func(from, to *machine) bool // nil: nothing
}

// machine is a Pair with its Host, which is a sender.
type machine struct {
	*Pair
	w       *world
	at      int                // region
	also    map[int]bool       // regions that it has sent in, and is connected to, too
	homes   map[key.Public]int // that it was told
	heard   map[key.Public]int // regions that packets came in
	events  []tailnet.Event
	refused []error
	reached []key.Public
}

func newWorld() *world { return &world{machines: make(map[key.Public]*machine)} }

// start opens a Pair that is at home in a region.
func (w *world) start(t *testing.T, cfg Config, region int) *machine {
	t.Helper()
	m := &machine{w: w, at: region, also: make(map[int]bool), homes: make(map[key.Public]int), heard: make(map[key.Public]int)}
	cfg.OnEvent = func(e tailnet.Event) { w.mu.Lock(); defer w.mu.Unlock(); m.events = append(m.events, e) }
	cfg.OnRefused = func(err error) { w.mu.Lock(); defer w.mu.Unlock(); m.refused = append(m.refused, err) }
	cfg.OnReached = func(k key.Public) { w.mu.Lock(); defer w.mu.Unlock(); m.reached = append(m.reached, k) }
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	m.Pair = p
	w.mu.Lock()
	w.machines[p.key.Public()] = m
	w.mu.Unlock()
	p.attach(m)
	p.moved(region)
	return m
}

func (m *machine) SetPeerHome(peer key.Public, region int) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.homes[peer] = region
}

// Send takes the packet to where the peer is said to be, or, if nobody has said that, to
// where it was heard.
func (m *machine) Send(peer key.Public, packet []byte) error {
	m.w.mu.Lock()
	to, region := m.w.machines[peer], m.homes[peer]
	if region == 0 {
		region = m.heard[peer]
	}
	m.w.sent++
	m.also[region] = true
	lost := to == nil || to.at != region && !to.also[region] || m.w.lose != nil && m.w.lose(m, to)
	if !lost {
		to.heard[m.key.Public()] = region
	}
	m.w.mu.Unlock()
	if !lost {
		to.Take(m.key.Public(), packet)
	}
	return nil
}

// move has a machine be at home elsewhere.
func (m *machine) move(region int) {
	m.w.mu.Lock()
	m.at, m.also = region, make(map[int]bool)
	m.w.mu.Unlock()
	m.moved(region)
}

// packets are how many were sent by all.
func (w *world) packets() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent
}

// told are the types of what its owner was told, and why it was refused.
func (m *machine) told() (types []tailnet.EventType, refused []error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	for _, e := range m.events {
		types = append(types, e.Type)
	}
	return types, slices.Clone(m.refused)
}

// token makes one.
func (m *machine) token(t *testing.T) string {
	t.Helper()
	token, err := m.Invite()
	if err != nil {
		t.Fatal(err)
	}
	text, err := token.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// knows checks that a machine has another one as a peer, there, with the same key.
func (m *machine) knows(t *testing.T, other *machine, region int) {
	t.Helper()
	is, known := m.Peer(other.key.Public())
	if !known || is.Home != region || is.Disco != other.cfg.Disco {
		t.Errorf("%s knows of %s: %+v", m.Self().Name, other.Self().Name, is)
	}
	psk := m.Preshared(other.key.Public())
	if psk == [32]byte{} || psk != other.Preshared(m.key.Public()) {
		t.Error("they do not share a key")
	}
}

var threeRelays = []pairing.Relay{{Host: "a.example", Port: 443}, {Host: "b.example", Port: 443}, {Host: "c.example", Port: 443}}

// inWorld runs a test in fake time.
func inWorld(t *testing.T, test func(t *testing.T, w *world, file func(string) string)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		test(t, newWorld(), func(name string) string { return filepath.Join(dir, name+".json") })
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// fill has nothing written beside a file any more, as on a full disk, until the result is
// called.
func fill(t *testing.T, path string) (makeRoom func()) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err = errors.Join(err, os.Remove(path), os.MkdirAll(filepath.Join(path, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, text, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}
