package paths

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/disco"
)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestPlausible(t *testing.T) {
	for _, s := range []string{"198.51.100.1:41641", "192.168.1.2:1024", "10.0.0.1:65535", "100.64.0.1:5000", "[2001:db8::1]:41641", "[fd00::1]:41641"} {
		if !Plausible(addr(s)) {
			t.Errorf("%s is not", s)
		}
	}
	for _, s := range []string{"127.0.0.1:41641", "127.9.9.9:41641", "0.0.0.0:41641", "0.1.2.3:41641", "255.255.255.255:41641", "240.0.0.1:41641",
		"224.0.0.251:5353", "239.1.1.1:41641", "169.254.169.254:41641", "198.51.100.1:0", "198.51.100.1:53", "198.51.100.1:1023",
		"[::1]:41641", "[::]:41641", "[fe80::1]:41641", "[fe80::1%eth0]:41641", "[ff02::1]:41641", "[::ffff:127.0.0.1]:41641", "[::ffff:198.51.100.1]:41641",
		"[::127.0.0.1]:41641", "[64:ff9b::7f00:1]:41641", "[64:ff9b:1::1]:41641", "[2002:7f00:1::]:41641", "[2001::1]:41641", "[fec0::1]:41641"} {
		if Plausible(addr(s)) {
			t.Errorf("%s is", s)
		}
	}
	if Plausible(netip.AddrPort{}) {
		t.Error("no address is")
	}
}

// A peer that is in use, at 1 s.
func used(cfg Config) *Peer {
	p := New(cfg)
	p.Own(0, []netip.AddrPort{addr("192.168.1.2:41641")})
	p.Sent(time.Second, 0)
	p.Take()
	return p
}

// drive wakes a peer up to then, and hands what it does to a function.
func drive(t *testing.T, p *Peer, now, until time.Duration, act func(now time.Duration, a Action)) {
	t.Helper()
	for steps := 0; ; steps++ {
		for _, a := range slices.Clone(p.Take()) {
			act(now, a)
		}
		if len(p.actions) > 0 {
			continue
		}
		if p.Next() > until {
			return
		}
		if p.Next() <= now && steps > 0 {
			t.Fatalf("at %v it wants to be woken at %v", now, p.Next())
		}
		now = max(now, p.Next())
		p.Wake(now)
		if p.Next() <= now {
			t.Fatalf("at %v it wants to be woken at %v", now, p.Next())
		}
	}
}

// A peer that names others' hosts has each pinged a few times, and all of them not
// often, however often it calls and whatever else it names.
func TestAPeerThatLiesAboutWhereItIs(t *testing.T) {
	for name, victims := range map[string]func(call, i int) netip.AddrPort{
		"one": func(int, int) netip.AddrPort { return addr("203.0.113.1:5000") },
		"ports of one": func(call, i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), uint16(2000+call*12+i))
		},
		"a network": func(call, i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, byte(call >> 8), byte(call), byte(i)}), 5000)
		},
		"implausible ones": func(call, i int) netip.AddrPort {
			return addr([]string{"127.0.0.1:5000", "255.255.255.255:5000", "224.0.0.1:5000", "169.254.1.1:5000", "203.0.113.1:53", "192.168.1.2:41641"}[i%6])
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := used(Config{FullSize: 1312})
			pings, size := map[netip.AddrPort]int{}, 0
			total := 0
			now := time.Second
			for call := range 6000 { // 10 min, ten a second
				var named []netip.AddrPort
				for i := range 12 {
					named = append(named, victims(call, i))
				}
				p.Sent(now, now)
				p.Call(now, named)
				drive(t, p, now, now+100*ms, func(_ time.Duration, a Action) {
					if a.Kind == SendPing {
						pings[a.Addr]++
						total++
						size = max(size, a.Padding)
					}
				})
				now += 100 * ms
			}
			most := 0
			for _, n := range pings {
				most = max(most, n)
			}
			if most > 8 || total > 24+60+1 || size > 0 {
				t.Errorf("%d pings in 10 min, up to %d to one address, padded by %d", total, most, size)
			}
			if name == "implausible ones" && total > 0 {
				t.Errorf("pings to %v", pings)
			}
		})
	}
}

func TestAllPeersShareABudget(t *testing.T) {
	budget, total := new(Budget), 0
	for i := range 200 {
		p := used(Config{Budget: budget})
		for j := range 4 {
			var named []netip.AddrPort
			for k := range 12 {
				named = append(named, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, byte(i), byte(j), byte(k)}), 5000))
			}
			p.Call(2*time.Second, named)
		}
		for _, a := range p.Take() {
			if a.Kind == SendPing {
				total++
			}
		}
	}
	if total == 0 || total > 256 {
		t.Errorf("%d pings at a time", total)
	}
}

// Who learns only later where it is has pinged the other in vain, as often as may be: the
// other did not know whom to open its NAT for. When it is pinged from there it tries again.
func TestWhoLearnsLateWhereItIs(t *testing.T) {
	w := newWorld(1)
	a, b := between(portCone, portCone)(w)
	a.start(b, Config{})
	b.blind = 22 * time.Second
	b.start(a, Config{})
	w.after(b.blind, b.askSelf)
	w.run(100 * ms)
	a.speak(every)
	b.speak(every)
	w.run(time.Minute)
	if a.peer.State() != Direct || b.peer.State() != Direct {
		t.Errorf("%v and %v", a.states, b.states)
	}
}

// firstPing has a peer be called, and returns the ping that follows.
func firstPing(t *testing.T, p *Peer, now time.Duration, to netip.AddrPort) Action {
	t.Helper()
	p.Call(now, []netip.AddrPort{to})
	for _, a := range p.Take() {
		if a.Kind == SendPing && a.Addr == to {
			return a
		}
	}
	t.Fatalf("%v is not pinged", to)
	return Action{}
}

func TestPongsThatNobodyAskedFor(t *testing.T) {
	to, other := addr("198.51.100.2:5000"), addr("198.51.100.3:5000")
	for name, pong := range map[string]func(p *Peer, ping Action){
		"another transaction": func(p *Peer, ping Action) { ping.TxID[0]++; p.Pong(1100*ms, to, ping.TxID) },
		"no transaction":      func(p *Peer, ping Action) { p.Pong(1100*ms, to, disco.TxID{}) },
		"from elsewhere":      func(p *Peer, ping Action) { p.Pong(1100*ms, other, ping.TxID) },
		"from nowhere":        func(p *Peer, ping Action) { p.Pong(1100*ms, netip.AddrPort{}, disco.TxID{}) },
		"too late":            func(p *Peer, ping Action) { p.Pong(1100*ms+pongTime, to, ping.TxID) },
	} {
		p := used(Config{})
		ping := firstPing(t, p, time.Second, to)
		pong(p, ping)
		if p.Route().Direct.IsValid() || p.Counts().Unasked != 1 {
			t.Errorf("%s: %v, %+v", name, p.Route(), p.Counts())
		}
	}
	p := used(Config{})
	ping := firstPing(t, p, time.Second, to)
	p.Pong(1100*ms, to, ping.TxID)
	p.Pong(1100*ms, to, ping.TxID)
	if p.State() != Direct || p.Counts().Unasked != 1 {
		t.Errorf("the same twice: %s, %+v", p.State(), p.Counts())
	}
}

func TestPingsThatComeAgain(t *testing.T) {
	p := used(Config{})
	tx := disco.TxID{1}
	p.Ping(time.Second, addr("198.51.100.2:5000"), tx)
	p.Take()
	p.Ping(2*time.Second, addr("203.0.113.1:5000"), tx)
	for _, a := range p.Take() {
		if a.Kind != AskSelf && a.Addr.Addr() == netip.MustParseAddr("203.0.113.1") {
			t.Errorf("%+v", a)
		}
	}
	if p.Counts().Replayed != 1 {
		t.Errorf("%+v", p.Counts())
	}
}

func TestAFloodOfPings(t *testing.T) {
	p := used(Config{})
	answers := 0
	for i := range 100000 { // 10 s
		now := time.Second + time.Duration(i)*ms/10
		p.Ping(now, netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 5000), disco.TxID{byte(i), byte(i >> 8), byte(i >> 16)})
		answers += len(p.Take())
	}
	if answers > 32+80+24+1+20 {
		t.Errorf("%d packets", answers)
	}
	if len(p.all) > mostCandidates {
		t.Errorf("%d candidates", len(p.all))
	}
}

// An address in the tunnel cannot carry the tunnel.
func TestRefusedAddresses(t *testing.T) {
	inside := netip.MustParsePrefix("100.100.0.0/16")
	p := used(Config{Refuse: inside.Contains})
	p.Call(time.Second, []netip.AddrPort{addr("100.100.1.1:5000")})
	p.Ping(time.Second, addr("100.100.1.1:5000"), disco.TxID{1})
	for _, a := range p.Take() {
		if a.Kind == SendPing || a.Kind == SendPong {
			t.Errorf("%+v", a)
		}
	}
}

func TestAllowedAddresses(t *testing.T) {
	p := used(Config{Allow: netip.Addr.IsLoopback})
	firstPing(t, p, time.Second, addr("127.0.0.1:5000"))
}

// Who does not send does not ping either, however long.
func TestNothingIsDoneForAPeerThatIsNotInUse(t *testing.T) {
	w := newWorld(1)
	a, b := between(portCone, portCone)(w)
	a.start(b, Config{})
	b.start(a, Config{})
	w.run(time.Minute)
	a.speak(every)
	w.run(2 * time.Minute)
	if a.peer.State() != Direct {
		t.Fatalf("%v", a.states)
	}
	a.traffic = 0
	w.run(2*time.Minute + useTime)
	pings, calls := a.pings+b.pings, a.calls+b.calls
	w.run(time.Hour)
	if a.pings+b.pings > pings+1 || a.calls+b.calls > calls {
		t.Errorf("%d pings and %d calls when nobody sends", a.pings+b.pings-pings, a.calls+b.calls-calls)
	}
	a.speak(every)
	w.run(time.Hour + time.Second)
	if a.peer.State() != Direct || len(b.got) < a.sent-5 {
		t.Errorf("%s again after an hour, %d of %d packets: %v", a.peer.State(), len(b.got), a.sent, a.states)
	}
}

// One end may be the only one that sends.
func TestOneEndSends(t *testing.T) {
	for _, c := range labCases {
		w := newWorld(2)
		a, b := c.build(w)
		a.start(b, Config{})
		b.start(a, Config{})
		w.run(100 * ms)
		a.speak(every)
		w.run(time.Minute)
		if got := resting(a.peer.State()); got != Relay && c.want == Relay && c.then == nil || got != Direct && c.want == Direct {
			t.Errorf("%s: %s, want %s: %v", c.name, got, c.want, a.states)
		}
		if c.want == Direct && a.direct > time.Second {
			t.Errorf("%s: direct after %v", c.name, a.direct)
		}
		if most := 60; a.pings > most {
			t.Errorf("%s: %d pings because nothing comes back, want %d at the most", c.name, a.pings, most)
		}
	}
}

// With loss and packets that overtake each other, all comes out as in the table, within
// 5 s in 95 of 100.
func TestTableOfPathsInBadWeather(t *testing.T) {
	for _, loss := range []float64{0, 0.02, 0.1} {
		var took []time.Duration
		for seed := range uint64(3) {
			for _, c := range labCases {
				if c.then != nil {
					continue
				}
				a, b, f := c.run(seed, func(w *world) { w.loss, w.slack = loss, 40*ms })
				if c.want == Relay {
					if slices.Contains(a.states, Direct) || slices.Contains(b.states, Direct) {
						t.Errorf("%s: %v, %v", c.name, a.states, b.states)
					}
					continue
				}
				if f.direct < 0 {
					t.Errorf("%s, seed %d, loss %v: %v, %v", c.name, seed, loss, a.states, b.states)
					continue
				}
				took = append(took, f.direct)
				if loss == 0 && f.lost > 0 {
					t.Errorf("%s, seed %d: %d packets lost by the change: %v", c.name, seed, f.lost, a.states)
				}
				if float64(f.lost) > 2*loss*float64(f.sent) || loss == 0.02 && float64(f.twice) > 0.1*float64(f.sent) {
					t.Errorf("%s, seed %d, loss %v: %d of %d packets lost, %d sent twice", c.name, seed, loss, f.lost, f.sent, f.twice)
				}
				if f.changes > 8 {
					t.Errorf("%s, seed %d, loss %v: %d changes: %v", c.name, seed, loss, f.changes, a.states)
				}
			}
		}
		slices.Sort(took)
		p95 := took[len(took)*95/100]
		t.Logf("loss %v: direct within %v in half of %d, %v in 95 of 100, %v in all", loss, took[len(took)/2], len(took), p95, took[len(took)-1])
		if p95 > 5*time.Second {
			t.Errorf("loss %v: %v", loss, p95)
		}
	}
}

// Two symmetric NATs stay relayed: for 10 min nothing goes to and fro, and tries are rare.
func TestSymmetricToSymmetricForLong(t *testing.T) {
	w := newWorld(3)
	a, b := between(symmetric, symmetric)(w)
	a.start(b, Config{})
	b.start(a, Config{})
	a.speak(every)
	b.speak(every)
	w.run(10 * time.Minute)
	for _, h := range []*host{a, b} {
		if h.peer.Counts().Changes != 0 || h.twice != 0 {
			t.Errorf("%+v, %d sent twice: %v", h.peer.Counts(), h.twice, h.states)
		}
		if h.pings > 60 || h.calls > 36 {
			t.Errorf("%d pings and %d calls", h.pings, h.calls)
		}
	}
}

// dualStack has both families between two hosts, one slower than the other.
func dualStack(slow4, slow6, slack time.Duration) (a, b *host) {
	w := newWorld(4)
	w.slack = slack
	a, b = w.newHost(nil, "198.51.100.1", "2001:db8:1::1"), w.newHost(nil, "198.51.100.2", "2001:db8:2::1")
	a.late, b.late = [2]time.Duration{slow4, slow6}, [2]time.Duration{slow4, slow6}
	a.start(b, Config{})
	b.start(a, Config{})
	a.speak(every)
	b.speak(every)
	w.run(10 * time.Minute)
	return a, b
}

func TestTheBetterFamily(t *testing.T) {
	for _, c := range []struct {
		slow4, slow6, slack time.Duration
		six                 bool
	}{
		{0, 0, 0, true},
		{0, ms / 2, 0, true},
		{10 * ms, 0, 0, true},
		{0, 10 * ms, 0, false},
		{0, 0, 20 * ms, true},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			a, b := dualStack(c.slow4, c.slow6, c.slack)
			for _, h := range []*host{a, b} {
				if got := h.peer.Route(); got.Relay || c.slack == 0 && got.Direct.Addr().Is6() != c.six {
					t.Errorf("%+v", got)
				}
				if h.peer.Counts().Changes > 5 {
					t.Errorf("%d changes in 10 min: %v", h.peer.Counts().Changes, h.states)
				}
			}
			if lost := a.sent + b.sent - len(a.got) - len(b.got); lost > 20 { // some are under way
				t.Errorf("%d lost", lost)
			}
		})
	}
}

// Of no two candidates each is better than the other, whatever their round trips.
func TestBetterIsOneWay(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 100000 {
		c, d := &candidate{addr: addr("198.51.100.1:1")}, &candidate{addr: addr("[2001:db8::1]:1")}
		if r.IntN(2) == 0 {
			d.addr = c.addr
		}
		c.answered(time.Duration(r.Int64N(int64(100 * ms))))
		d.answered(time.Duration(r.Int64N(int64(100 * ms))))
		if c.isBetter(d) && d.isBetter(c) {
			t.Fatalf("%v %v and %v %v", c.addr, c.rtts, d.addr, d.rtts)
		}
	}
}

// Whatever comes, it does not spin, keeps within its bounds, and trusts nobody who has
// not answered lately.
func FuzzPeer(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	for i := range uint64(8) {
		r := rand.New(rand.NewPCG(i, i))
		b := make([]byte, 600)
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p := New(Config{FullSize: fullSize, NewTxID: func() (tx disco.TxID) { return disco.TxID{byte(rand.Uint32()), 1} }})
		var asked []Action
		answered := map[netip.AddrPort]time.Duration{}
		now := time.Duration(0)
		at := func(b byte) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, b % 40}), 5000)
		}
		for len(script) >= 2 {
			op, arg := script[0], script[1]
			script = script[2:]
			now += time.Duration(arg) * time.Duration(arg) * ms / 4
			switch op % 8 {
			case 0:
				p.Sent(now, now)
			case 1:
				p.Ping(now, at(arg), disco.TxID{op, arg})
			case 2, 3:
				if len(asked) > 0 {
					a := asked[int(arg)%len(asked)]
					p.Pong(now, a.Addr, a.TxID)
					answered[a.Addr] = now
				}
			case 4:
				p.Call(now, []netip.AddrPort{at(arg), at(arg + 1), at(arg / 2)})
			case 5:
				p.Own(now, []netip.AddrPort{at(arg)})
			case 6:
				p.Moved(now)
			}
			drive(t, p, now, now, func(_ time.Duration, a Action) {
				if a.Kind == SendPing {
					asked = append(asked, a)
				}
			})
			if p.Next() <= now {
				t.Fatalf("at %v it wants to be woken at %v", now, p.Next())
			}
			r := p.Route()
			if last, ok := answered[r.Direct]; !r.Relay && (!ok || now-last > trustTime) {
				t.Fatalf("at %v %v is trusted, which has answered at %v", now, r.Direct, last)
			}
			if len(p.all) > mostCandidates {
				t.Fatalf("%d candidates", len(p.all))
			}
		}
	})
}
