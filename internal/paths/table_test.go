package paths

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A labCase is two hosts in some surroundings. The names are those of the lab of network
// namespaces, whose table is to be the same.
type labCase struct {
	name  string
	build func(w *world) (a, b *host)
	then  func(w *world, a, b *host) // in the middle of the stream, after 60 s
	want  State                      // at the end, of both
	lost  int                        // packets of 6,000 each way that may be lost
}

func behind(w *world, kind natKind, outer, inner string) *host {
	return w.newHost(w.newNAT(kind, outer, nil).inside, inner)
}

func between(a, b natKind) func(*world) (*host, *host) {
	return func(w *world) (*host, *host) {
		return behind(w, a, "198.51.100.1", "192.168.1.2"), behind(w, b, "198.51.100.2", "192.168.2.2")
	}
}

var labCases = []labCase{
	{name: "same LAN", want: Direct, build: func(w *world) (*host, *host) {
		l := w.newNAT(portCone, "198.51.100.1", nil).inside
		return w.newHost(l, "192.168.1.2"), w.newHost(l, "192.168.1.3")
	}},
	{name: "no NAT", want: Direct, build: func(w *world) (*host, *host) {
		return w.newHost(nil, "198.51.100.1"), w.newHost(nil, "198.51.100.2")
	}},
	{name: "cone to cone", want: Direct, build: between(portCone, portCone)},
	{name: "full cone to cone", want: Direct, build: between(fullCone, portCone)},
	{name: "symmetric to cone", want: Direct, build: between(symmetric, addrCone)},
	{name: "symmetric to full cone", want: Direct, build: between(symmetric, fullCone)},
	{name: "symmetric to cone by port", want: Relay, build: between(symmetric, portCone)},
	{name: "symmetric to symmetric", want: Relay, build: between(symmetric, symmetric)},
	{name: "UDP dropped", want: Relay, build: between(noUDP, portCone)},
	{name: "UDP one way", want: Relay, build: func(w *world) (a, b *host) {
		a, b = between(portCone, portCone)(w)
		b.deaf = true
		return a, b
	}},
	{name: "double NAT", want: Direct, build: func(w *world) (*host, *host) {
		carrier := w.newNAT(portCone, "198.51.100.1", nil)
		home := w.newNAT(portCone, "100.64.0.2", carrier.inside)
		return w.newHost(home.inside, "192.168.1.2"), behind(w, portCone, "198.51.100.2", "192.168.1.3")
	}},
	{name: "IPv6 only", want: Direct, build: func(w *world) (*host, *host) {
		return w.newHost(nil, "2001:db8:1::1"), w.newHost(nil, "2001:db8:2::1")
	}},
	{name: "small packets only", want: Relay, build: func(w *world) (a, b *host) {
		a, b = between(portCone, portCone)(w)
		a.mtu, b.mtu = 1200, 1200
		return a, b
	}},
	{name: "first call not understood", want: Direct, build: func(w *world) (a, b *host) {
		a, b = between(symmetric, addrCone)(w)
		a.alien = 126 * ms
		return a, b
	}},
	{name: "NAT that forgets", want: Direct, build: between(portCone, portCone), lost: 70, then: func(w *world, a, _ *host) {
		a.lan.out.forget()
	}},
	{name: "address that changes", want: Direct, lost: 10, build: func(w *world) (*host, *host) {
		return w.newHost(nil, "198.51.100.1"), behind(w, portCone, "198.51.100.2", "192.168.2.2")
	}, then: func(w *world, a, _ *host) {
		a.move("198.51.100.3")
		a.peer.Moved(w.now)
		a.tellOwn()
	}},
	{name: "NAT whose address changes", want: Direct, build: between(portCone, portCone), lost: 70, then: func(w *world, a, _ *host) {
		a.lan.out.move("198.51.100.3")
	}},
	{name: "UDP dropped later", want: Relay, build: between(portCone, portCone), lost: 70, then: func(w *world, a, _ *host) {
		a.lan.out.kind = noUDP
	}},
}

const (
	every  = 20 * ms
	stream = 2 * time.Minute
)

// found is what a case came to.
type found struct {
	state      State
	direct     time.Duration // of both ends; -1: never
	lost, sent int
	twice      int
	changes    uint64
	pings      int
}

func (c *labCase) run(seed uint64, disturb func(w *world)) (a, b *host, f found) {
	w := newWorld(seed)
	a, b = c.build(w)
	if disturb != nil {
		disturb(w)
	}
	a.start(b, Config{})
	b.start(a, Config{})
	w.run(100 * ms)
	a.speak(every)
	b.speak(every)
	w.run(time.Minute)
	if c.then != nil {
		c.then(w, a, b)
	}
	w.run(stream)
	f.state = a.peer.State()
	if s := b.peer.State(); s != f.state {
		f.state += "/" + s
	}
	a.traffic, b.traffic = 0, 0
	w.run(stream + time.Second)
	f.sent = a.sent + b.sent
	f.lost = f.sent - len(a.got) - len(b.got)
	f.twice = a.twice + b.twice
	f.changes = a.peer.Counts().Changes + b.peer.Counts().Changes
	f.pings = a.pings + b.pings
	f.direct = -1
	if a.direct >= 0 && b.direct >= 0 {
		f.direct = max(a.direct, b.direct) - 100*ms
	}
	return a, b, f
}

// resting is a state with a search that is on now and then.
func resting(s State) State {
	if s == Searching {
		return Relay
	}
	return s
}

// A path that ends without a word is left as soon as nothing comes back, whenever it was
// last pinged.
func TestAPathThatEndsIsLeftSoon(t *testing.T) {
	for phase := range 13 {
		c := labCase{build: between(portCone, portCone), then: func(w *world, a, _ *host) {
			w.after(time.Duration(phase)*250*ms, a.lan.out.forget)
		}}
		if _, _, f := c.run(uint64(phase), nil); f.state != Direct || f.lost > 70 {
			t.Errorf("after %d ms: %s, %d of %d packets lost, want 70 at the most", phase*250, f.state, f.lost, f.sent)
		}
	}
}

func TestTableOfPaths(t *testing.T) {
	t.Logf("%-28s %-9s %-9s %9s %6s %6s %7s %6s", "case", "expected", "found", "direct ms", "lost", "twice", "changes", "pings")
	for _, c := range labCases {
		t.Run(c.name, func(t *testing.T) {
			a, b, f := c.run(1, nil)
			took := "never"
			if f.direct >= 0 {
				took = fmt.Sprint(f.direct.Milliseconds())
			}
			t.Logf("%-28s %-9s %-9s %9s %6d %6d %7d %6d", c.name, c.want, f.state, took, f.lost, f.twice, f.changes, f.pings)
			if resting(a.peer.State()) != c.want && f.state != c.want || resting(b.peer.State()) != c.want && f.state != c.want {
				t.Errorf("found %s, want %s: %v and %v", f.state, c.want, a.states, b.states)
			}
			if f.lost > c.lost {
				t.Errorf("%d of %d packets lost, want %d at the most", f.lost, f.sent, c.lost)
			}
			if c.want == Direct && (f.direct < 0 || f.direct > time.Second) {
				t.Errorf("direct after %v", f.direct)
			}
			if c.want == Relay && c.then == nil && (slices.Contains(a.states, Direct) || f.changes > 16) {
				t.Errorf("%d changes: %v", f.changes, a.states)
			}
		})
	}
}
