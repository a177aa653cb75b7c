package direct

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.zx2c4.com/wireguard/conn"

	"github.com/detour-relay/detour/internal/disco"
	"github.com/detour-relay/detour/internal/paths"
	"github.com/detour-relay/detour/internal/stun"
	"github.com/detour-relay/detour/key"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for what must happen.
const patience = 2 * time.Minute

// An end is one of two peers.
type end struct {
	*Conn
	node  key.Public
	other *end

	mu   sync.Mutex
	got  map[string]int
	from map[key.Public]int
	came chan struct{}
}

func newEnd(t testing.TB, change func(*Config)) *end {
	t.Helper()
	e := &end{node: key.NewPrivate().Public(), got: make(map[string]int), from: make(map[key.Public]int), came: make(chan struct{}, 1)}
	cfg := Config{
		Node: e.node, Disco: key.NewPrivate(), Loopback: true,
		Relay:   func(_ key.Public, packet []byte) { e.other.Relayed(e.node, packet) },
		Deliver: e.deliver,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e.Conn = c
	t.Cleanup(func() { c.Close() })
	return e
}

func (e *end) deliver(from []key.Public, packets [][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, p := range packets {
		e.got[string(p)]++
		e.from[from[i]]++
	}
	select {
	case e.came <- struct{}{}:
	default:
	}
}

// pair are two ends that know each other.
func pair(t testing.TB) (a, b *end) {
	t.Helper()
	a, b = newEnd(t, nil), newEnd(t, nil)
	a.other, b.other = b, a
	a.SetPeer(b.node, b.Disco())
	b.SetPeer(a.node, a.Disco())
	return a, b
}

// await waits for something that events bring about.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for: %s", what)
		}
	}
}

// connect has both send until both have a direct path.
func connect(t testing.TB, a, b *end) {
	t.Helper()
	await(t, "direct paths", func() bool {
		a.Path(b.node).Send([][]byte{[]byte("hello")})
		b.Path(a.node).Send([][]byte{[]byte("hello")})
		return a.Path(b.node).Status().State == paths.Direct && b.Path(a.node).Status().State == paths.Direct
	})
}

func TestPacketsGoDirectly(t *testing.T) {
	a, b := pair(t)
	if !a.Path(b.node).Send([][]byte{[]byte("first")}) {
		t.Error("the first packet does not have to go over the relay")
	}
	connect(t, a, b)
	if s := a.Path(b.node).Status(); s.Addr != netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), b.Port()) || s.RoundTrip <= 0 {
		t.Errorf("%+v", s)
	}
	batch := [][]byte{}
	for i := range 128 { // of one size, which the system may join
		batch = append(batch, bytes.Repeat([]byte{4, byte(i)}, 600))
	}
	await(t, "a batch on the direct path", func() bool { return !a.Path(b.node).Send(batch) })
	await(t, "its packets", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, p := range batch {
			if b.got[string(p)] == 0 {
				return false
			}
		}
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.from) != 1 || b.from[a.node] == 0 {
		t.Errorf("from %v, want only %v", b.from, a.node)
	}
}

func TestWhatComesFromStrangersIsDropped(t *testing.T) {
	a, b := pair(t)
	connect(t, a, b)
	s, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", a.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	stranger := disco.NewRing(key.NewPrivate())
	stranger.Add(a.Disco())
	before := a.Stats()
	for _, p := range [][]byte{
		[]byte("\x04\x00\x00\x00 not of a peer"), {}, {1}, []byte("TS💬"), bytes.Repeat([]byte("TS💬"), 20),
		[]byte("\x01\x01\x00\x00\x21\x12\xa4\x42 an answer of STUN"),
		stranger.AppendSealed(nil, a.Disco(), &disco.Message{Type: disco.Ping}),
		bytes.Repeat([]byte{0xff}, 9000),
	} {
		if _, err := s.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "all of it", func() bool { return a.Stats().Unowned >= before.Unowned+3 && a.Stats().Disco >= before.Disco+2 })
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.from) > 1 || a.from[b.node] != a.got["hello"] {
		t.Errorf("%v of %v", a.got, a.from)
	}
}

func TestAPeerWithoutDiscoIsReachedOverTheRelay(t *testing.T) {
	a, b := pair(t)
	connect(t, a, b)
	path := a.Path(b.node)
	a.SetPeer(b.node, key.Public{})
	if !path.Send([][]byte{[]byte("x")}) || path.Status().State != paths.Relay {
		t.Errorf("%+v", path.Status())
	}
	if len(a.owners) != 0 {
		t.Errorf("addresses are still owned: %v", a.owners)
	}
	a.SetPeer(b.node, b.Disco())
	connect(t, a, b)
	a.RemovePeer(b.node)
	if !path.Send([][]byte{[]byte("x")}) {
		t.Error("a path that was removed leads somewhere")
	}
}

// A peer that starts again has another disco key and another port.
func TestAPeerThatStartsAgain(t *testing.T) {
	a, b := pair(t)
	connect(t, a, b)
	again := newEnd(t, nil)
	again.Conn.cfg.Node, again.node = b.node, b.node // read by nobody yet
	b.Close()
	again.other, a.other = a, again
	again.SetPeer(a.node, a.Disco())
	a.SetPeer(again.node, again.Disco())
	connect(t, a, again)
	if s := a.Path(b.node).Status(); s.Addr.Port() != again.Port() {
		t.Errorf("%+v, want port %d", s, again.Port())
	}
}

// Whoever sends with the address of another does not get what is the other's.
func TestAnAddressBelongsToWhoAnswersThere(t *testing.T) {
	a, b := pair(t)
	connect(t, a, b)
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), b.Port())
	a.do(func() {
		liar := newPath(a.Conn, key.NewPrivate().Public())
		a.own(liar, addr, false)
		if owner := a.ownerOf(addr); owner.node != b.node {
			t.Error("a ping takes an address from who has answered there")
		}
		for i := range 20 {
			a.own(liar, netip.AddrPortFrom(addr.Addr(), uint16(i+1)), false)
		}
		if len(liar.owned) != mostOwned || len(a.owners) > 2*mostOwned {
			t.Errorf("it has %d addresses", len(liar.owned))
		}
		a.own(liar, addr, true)
		if owner := a.ownerOf(addr); owner != liar || len(a.Path(b.node).owned) != 0 {
			t.Error("an answer does not take it")
		}
	})
}

func TestSTUNComesByTheSocketOfThePackets(t *testing.T) {
	responder, err := stun.Listen(t.Context(), stun.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- responder.Serve(context.WithoutCancel(t.Context())) }()
	t.Cleanup(func() { responder.Close(); <-served })
	a := newEnd(t, func(c *Config) {
		c.Servers = func(context.Context) []netip.AddrPort { return []netip.AddrPort{responder.Addr()} }
	})
	var got []netip.AddrPort
	a.outside(func(seen netip.AddrPort) { got = append(got, seen) })
	if len(got) != 1 || got[0] != netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.Port()) {
		t.Errorf("seen as %v, want port %d", got, a.Port())
	}
}

// asks has an end find out where it is, as if it had just started.
func (e *end) asks(servers func(context.Context) []netip.AddrPort) {
	e.do(func() {
		e.cfg.Servers = servers
		e.self = newSelf()
		e.askSelf()
	})
}

func (e *end) knows() (now self) {
	e.do(func() { now = e.self })
	return now
}

// Who has just started has no map yet, so that there is nobody to ask: he tries again
// soon.
func TestWhoHasNobodyToAskAsksAgainSoon(t *testing.T) {
	a, b := pair(t)
	connect(t, a, b)
	asked := make(chan struct{}, 1000)
	a.asks(func(context.Context) []netip.AddrPort { asked <- struct{}{}; return nil })
	await(t, "nobody was there", func() bool { now := a.knows(); return now.blind > 0 })
	if now := a.knows(); now.every() >= selfFresh || now.fresh() > now.every() {
		t.Errorf("asks again after %v, though what is known is good for %v", now.every(), now.fresh())
	}
	await(t, "it asks again", func() bool { return len(asked) > 2 })
	if often, ever := (&self{blind: 1}).every(), (&self{blind: 1000}).every(); often >= ever || ever != selfEvery {
		t.Errorf("it asks every %v for ever", ever)
	}
}

// One that does not answer keeps nobody waiting for what is known already.
func TestOurOwnAddressIsKnownBeforeAnybodyAnswers(t *testing.T) {
	a, b := pair(t)
	connect(t, a, b)
	answer := make(chan struct{})
	defer close(answer)
	a.asks(func(context.Context) []netip.AddrPort { <-answer; return nil })
	await(t, "our own address", func() bool { return len(a.knows().own) > 0 })
}

func TestBroadcastAddressesAreRefused(t *testing.T) {
	for network, want := range map[string]string{
		"192.168.1.7/24": "[192.168.1.0 192.168.1.255]", "10.9.8.7/8": "[10.0.0.0 10.255.255.255]", "192.0.2.5/30": "[192.0.2.4 192.0.2.7]",
		"192.0.2.5/31": "[]", "192.0.2.5/32": "[]", "192.0.2.5/0": "[]", "2001:db8::1/64": "[]",
	} {
		if got := fmt.Sprint(broadcast(netip.MustParsePrefix(network))); got != want {
			t.Errorf("%s: %s, want %s", network, got, want)
		}
	}
	inside := netip.MustParsePrefix("100.100.0.0/16")
	a := newEnd(t, func(c *Config) { c.Refuse = inside.Contains })
	a.do(func() {
		a.learnt(self{nobody: broadcast(netip.MustParsePrefix("192.168.1.7/24"))})
		for text, want := range map[string]bool{"192.168.1.255": true, "192.168.1.254": false, "100.100.1.1": true, "100.101.1.1": false} {
			if a.isRefused(netip.MustParseAddr(text)) != want {
				t.Errorf("%s: refused is not %v", text, want)
			}
		}
	})
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	if _, err := Open(Config{}); err == nil {
		t.Error("nothing is missing")
	}
	a := newEnd(t, nil)
	cfg := a.cfg
	cfg.Port = a.Port()
	if c, err := Open(cfg); err == nil {
		c.Close()
		t.Error("a port is taken twice")
	}
}

func TestCloseEndsAll(t *testing.T) {
	a, b := pair(t)
	connect(t, a, b)
	var closing sync.WaitGroup
	for range 3 {
		closing.Go(func() { a.Close() })
		closing.Go(func() { a.SetPeer(b.node, key.Public{}) })
		closing.Go(func() { a.Path(b.node).Send([][]byte{[]byte("x")}) })
		closing.Go(a.NetworkChanged)
	}
	closing.Wait()
	if !a.Path(b.node).Send([][]byte{[]byte("x")}) {
		t.Error("packets go directly after the end")
	}
}

// silent is a socket that sends nothing.
type silent struct{ conn.Bind }

func (silent) Send([][]byte, conn.Endpoint) error { return nil }

func TestSendAllocatesNothing(t *testing.T) {
	c := &Conn{bind: silent{}, start: time.Now(), pokes: make(chan *Path, 1)}
	path, batch := newPath(c, key.Public{}), [][]byte{[]byte("a packet"), []byte("a packet")}
	for name, r := range map[string]*route{
		"relayed": overRelay,
		"direct":  {to: &conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort("127.0.0.1:1")}},
	} {
		path.route.Store(r)
		if n := testing.AllocsPerRun(100, func() { path.Send(batch) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
