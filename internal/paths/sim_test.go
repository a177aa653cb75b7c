package paths

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/disco"
)

const (
	ms       = time.Millisecond
	fullSize = 1312
)

// A world is a network in fake time: hosts, NATs, a relay that both ends of a tunnel
// use, and a STUN server.
type world struct {
	now   time.Duration
	queue events
	n     int
	rand  *rand.Rand

	hosts map[netip.Addr]*host // in the Internet
	nats  map[netip.Addr]*nat  // likewise, by their outer address
	loss  float64
	slack time.Duration // by which packets are late, at random: they overtake each other
	delay time.Duration // one way through the Internet

	strays map[netip.Addr]int // packets to addresses where nobody is
}

type event struct {
	at time.Duration
	n  int
	do func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newWorld(seed uint64) *world {
	w := &world{
		rand: rand.New(rand.NewPCG(seed, 13)), hosts: make(map[netip.Addr]*host), nats: make(map[netip.Addr]*nat),
		delay: 15 * ms, strays: make(map[netip.Addr]int),
	}
	w.hosts[stunServer.Addr()] = &host{w: w}
	return w
}

func (w *world) after(d time.Duration, do func()) {
	w.n++
	heap.Push(&w.queue, event{w.now + d, w.n, do})
}

// run has the world go on until then.
func (w *world) run(until time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
	w.now = until
}

// A packet is UDP.
type packet struct {
	src, dst netip.AddrPort
	size     int
	what     func(h *host, p packet) // what it does where it arrives
}

// A lan is a network behind one NAT, whose outer side is in another lan or the Internet.
type lan struct {
	hosts map[netip.Addr]*host
	nats  map[netip.Addr]*nat // of lans further in
	out   *nat
}

func newLAN(out *nat) *lan {
	return &lan{hosts: make(map[netip.Addr]*host), nats: make(map[netip.Addr]*nat), out: out}
}

// send has a packet leave a lan; nil: the Internet.
func (w *world) send(from *lan, p packet) {
	hosts, nats := w.hosts, w.nats
	if from != nil {
		hosts, nats = from.hosts, from.nats
	}
	if h := hosts[p.dst.Addr()]; h != nil {
		w.travel(from == nil, func() { h.arrive(p) })
	} else if n := nats[p.dst.Addr()]; n != nil {
		w.travel(from == nil, func() { n.in(p) })
	} else if from != nil && from.out != nil {
		from.out.outward(p)
	} else {
		w.strays[p.dst.Addr()]++
	}
}

func (w *world) travel(far bool, do func()) {
	d := ms / 2
	if far {
		d = w.delay
		if w.rand.Float64() < w.loss {
			return
		}
		if w.slack > 0 {
			d += time.Duration(w.rand.Int64N(int64(w.slack)))
		}
	}
	w.after(d, do)
}

// A kind of NAT: which port a host has for another destination, and who may send to it.
type natKind struct {
	symmetric bool // each destination sees another port
	filter    int  // 0: everybody; 1: addresses that were sent to; 2: ports that were
	dropUDP   bool
}

var (
	fullCone  = natKind{}
	addrCone  = natKind{filter: 1}
	portCone  = natKind{filter: 2}
	symmetric = natKind{symmetric: true, filter: 2}
	noUDP     = natKind{dropUDP: true}
)

type natKey struct{ inner, dst netip.AddrPort }

type mapping struct {
	inner netip.AddrPort
	port  uint16
	used  time.Duration
	sent  map[netip.AddrPort]time.Duration
}

// A nat stands between a lan and what is outside, which is nil for the Internet.
type nat struct {
	w       *world
	kind    natKind
	addr    netip.Addr
	outside *lan
	inside  *lan
	timeout time.Duration
	port    uint16

	byInner map[natKey]*mapping
	byPort  map[uint16]*mapping
}

func (w *world) newNAT(kind natKind, addr string, outside *lan) *nat {
	n := &nat{w: w, kind: kind, addr: netip.MustParseAddr(addr), outside: outside, timeout: 30 * time.Second, port: 20000}
	n.inside = newLAN(n)
	if outside == nil {
		w.nats[n.addr] = n
	} else {
		outside.nats[n.addr] = n
	}
	n.forget()
	return n
}

// forget is what one does that is switched off and on. It begins at other ports.
func (n *nat) forget() {
	n.byInner, n.byPort = make(map[natKey]*mapping), make(map[uint16]*mapping)
	n.port += 1000
}

// move gives it another address in the Internet.
func (n *nat) move(addr string) {
	delete(n.w.nats, n.addr)
	n.addr = netip.MustParseAddr(addr)
	n.w.nats[n.addr] = n
	n.forget()
}

func (n *nat) outward(p packet) {
	if n.kind.dropUDP {
		return
	}
	k := natKey{inner: p.src}
	if n.kind.symmetric {
		k.dst = p.dst
	}
	m := n.byInner[k]
	if m == nil || n.w.now-m.used > n.timeout {
		n.port++
		m = &mapping{inner: p.src, port: n.port, sent: make(map[netip.AddrPort]time.Duration)}
		n.byInner[k], n.byPort[m.port] = m, m
	}
	m.used = n.w.now
	m.sent[p.dst] = n.w.now
	p.src = netip.AddrPortFrom(n.addr, m.port)
	n.w.send(n.outside, p)
}

func (n *nat) in(p packet) {
	m := n.byPort[p.dst.Port()]
	if m == nil || n.w.now-m.used > n.timeout || !n.lets(m, p.src) {
		return
	}
	p.dst = m.inner
	n.w.send(n.inside, p)
}

func (n *nat) lets(m *mapping, src netip.AddrPort) bool {
	for to, at := range m.sent {
		if n.w.now-at <= n.timeout && (n.kind.filter == 0 || to == src || n.kind.filter == 1 && to.Addr() == src.Addr()) {
			return true
		}
	}
	return false
}

// stunServer answers everybody.
var stunServer = netip.MustParseAddrPort("203.0.113.250:3478")

// A host is one end of the tunnel, with what stands around the state machine.
type host struct {
	w     *world
	lan   *lan
	addrs []netip.AddrPort // of its own; one a family
	mtu   int              // of what it can send, UDP payload
	deaf  bool             // no UDP comes in
	late  [2]time.Duration // of what it sends by IPv4 and IPv6
	blind time.Duration    // until then it knows nobody to ask where it is
	alien time.Duration    // until then it does not know by which key the other calls

	other *host
	peer  *Peer
	woken time.Duration

	mapped []netip.AddrPort
	known  map[netip.AddrPort]time.Duration

	traffic time.Duration // between packets; 0: none
	sent    int
	twice   int
	got     map[int]bool
	heard   time.Duration // when the last came by UDP

	direct time.Duration // since when, the first time; -1: never
	pings  int
	calls  int
	states []State
}

func (w *world) newHost(l *lan, addrs ...string) *host {
	h := &host{w: w, lan: l, mtu: 1472, woken: Never, direct: -1, known: make(map[netip.AddrPort]time.Duration), got: make(map[int]bool)}
	h.move(addrs...)
	return h
}

// move gives the host other addresses.
func (h *host) move(addrs ...string) {
	hosts := h.w.hosts
	if h.lan != nil {
		hosts = h.lan.hosts
	}
	for _, a := range h.addrs {
		delete(hosts, a.Addr())
	}
	h.addrs = nil
	for _, a := range addrs {
		ap := netip.AddrPortFrom(netip.MustParseAddr(a), 41641)
		h.addrs = append(h.addrs, ap)
		hosts[ap.Addr()] = h
	}
}

// start has it join the other, with what it knows of itself.
func (h *host) start(other *host, cfg Config) {
	n := 0
	cfg.FullSize = fullSize
	cfg.NewTxID = func() (tx disco.TxID) {
		n++
		binary.BigEndian.PutUint64(tx[:], uint64(n))
		binary.BigEndian.PutUint32(tx[8:], h.w.rand.Uint32())
		return tx
	}
	h.other, h.peer = other, New(cfg)
	h.tellOwn()
	h.askSelf()
}

// speak has it send packets to the other.
func (h *host) speak(every time.Duration) {
	h.traffic = every
	var next func()
	next = func() {
		if h.traffic != every {
			return
		}
		h.sendData()
		h.w.after(every, next)
	}
	h.w.after(0, next)
}

func (h *host) sendData() {
	h.peer.Sent(h.w.now, h.heard)
	h.after()
	seq, route := h.sent, h.peer.Route()
	h.sent++
	if route.Relay {
		o := h.other
		h.w.after(25*ms, func() { o.got[seq] = true })
	}
	if route.Direct.IsValid() {
		if route.Relay {
			h.twice++
		}
		h.udp(route.Direct, fullSize, func(o *host, p packet) {
			if _, ok := o.known[p.src]; ok {
				o.heard = o.w.now
				o.got[seq] = true
			}
		})
	}
}

// udp sends from the one socket.
func (h *host) udp(dst netip.AddrPort, size int, what func(*host, packet)) {
	for _, a := range h.addrs {
		if a.Addr().Is4() == dst.Addr().Is4() && size <= h.mtu {
			late := h.late[0]
			if a.Addr().Is6() {
				late = h.late[1]
			}
			h.w.after(late, func() { h.w.send(h.lan, packet{a, dst, size, what}) })
		}
	}
}

func (h *host) arrive(p packet) {
	if h.deaf {
		return
	}
	p.what(h, p)
	h.after()
}

func (h *host) tellOwn() {
	if h.peer != nil {
		h.peer.Own(h.w.now, append(slices.Clone(h.addrs), h.mapped...))
		h.after()
	}
}

// askSelf asks the STUN server.
func (h *host) askSelf() {
	if h.w.now < h.blind {
		return
	}
	h.udp(stunServer, 60, func(server *host, p packet) {
		h.w.send(nil, packet{stunServer, p.src, 60, func(*host, packet) {
			if mapped := []netip.AddrPort{p.src}; !slices.Equal(mapped, h.mapped) {
				h.mapped = mapped
				h.tellOwn()
			}
		}})
	})
}

// after does what the machine wants, and notes its state.
func (h *host) after() {
	if h.peer == nil {
		return
	}
	for _, a := range slices.Clone(h.peer.Take()) {
		h.act(a)
	}
	state := h.peer.State()
	if n := len(h.states); n == 0 || h.states[n-1] != state {
		h.states = append(h.states, state)
		if state == Direct && h.direct < 0 {
			h.direct = h.w.now
		}
	}
	if next := h.peer.Next(); next < h.woken && next != Never {
		h.woken = next
		h.w.after(max(0, next-h.w.now), func() {
			if h.woken == next {
				h.woken = Never
				h.peer.Wake(h.w.now)
				h.after()
			}
		})
	}
}

func (h *host) act(a Action) {
	switch a.Kind {
	case SendPing:
		h.pings++
		h.udp(a.Addr, disco.Overhead+disco.PingLen+a.Padding, func(o *host, p packet) {
			o.known[p.src] = o.w.now
			o.peer.Ping(o.w.now, p.src, a.TxID)
		})
	case SendPong:
		h.udp(a.Addr, disco.Overhead+32, func(o *host, p packet) {
			o.known[p.src] = o.w.now
			o.peer.Pong(o.w.now, p.src, a.TxID)
		})
	case SendCall:
		h.calls++
		named, o := append(slices.Clone(h.addrs), h.mapped...), h.other
		h.w.after(25*ms, func() {
			if o.w.now >= o.alien {
				o.peer.Call(o.w.now, named)
				o.after()
			}
		})
	case AskSelf:
		h.askSelf()
	}
}
