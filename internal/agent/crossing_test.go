package agent

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"github.com/detour-relay/detour/key"
)

const (
	lesser, greater = 0, 1 // the ends of a tunnel, by their keys

	wayTime   = time.Millisecond // from one end to the other
	soon      = 1500 * time.Millisecond
	sendEvery = 10 * time.Millisecond
)

// Moments at which a device may be slow: some it tells of itself, as in these words.
const (
	hasMade  = "a message of a handshake is made, and not sent"
	isShown  = "a message of a handshake is there, and not taken"
	hasTaken = "Received handshake initiation" // and not answered
	hasKeys  = "Received handshake response"   // and not made keys of it
)

// hazards befall two devices whose users send to each other.
type hazards struct {
	slow  func(end int, moment string) time.Duration // nil: never
	lost  func(from int, age time.Duration) bool     // a message of a handshake is; nil: never
	late  [2]time.Duration                           // that they begin to send
	plain [2]bool                                    // a device alone, as others have it
	twice bool                                       // all comes both ways, as while a path is new
}

// A tunnel is two devices in fake time.
type tunnel struct {
	hazards
	begun time.Time
	ends  [2]*end

	mu   sync.Mutex
	calm bool     // guarded by mu: nothing befalls them any more
	said []string // guarded by mu
}

func (w *tunnel) say(end int, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf("%11v %s %s", time.Since(w.begun), [2]string{"lesser ", "greater"}[end], fmt.Sprintf(format, args...)))
}

func (w *tunnel) pause(end int, moment string) {
	var d time.Duration
	w.mu.Lock()
	if w.slow != nil && !w.calm {
		d = w.slow(end, moment)
	}
	w.mu.Unlock()
	time.Sleep(d)
}

func (w *tunnel) loses(from int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost != nil && w.lost(from, time.Since(w.begun))
}

// An end is a device, and the Bind beneath it. It is the Endpoint of itself, too.
type end struct {
	*tunnel
	conn.Endpoint
	which  int
	own    key.Private
	addr   netip.Addr
	trips  *trips
	device *device.Device
	tun    *tuntest.ChannelTUN
	inbox  chan []byte
	closed chan struct{}
}

func (e *end) other() *end                                 { return e.ends[1-e.which] }
func (e *end) Key() key.Public                             { return e.own.Public() }
func (e *end) DstToString() string                         { return e.Key().String() }
func (e *end) DstIP() netip.Addr                           { return e.addr }
func (e *end) ClearSrc()                                   {}
func (e *end) ParseEndpoint(string) (conn.Endpoint, error) { return e.other(), nil }
func (e *end) SetMark(uint32) error                        { return nil }
func (e *end) BatchSize() int                              { return 1 }

func (e *end) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	e.closed = make(chan struct{})
	return []conn.ReceiveFunc{e.from(e.inbox, e.closed)}, port, nil
}

func (e *end) Close() error {
	if e.closed != nil {
		close(e.closed)
		e.closed = nil
	}
	return nil
}

func (e *end) from(inbox chan []byte, closed chan struct{}) conn.ReceiveFunc {
	return func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case b := <-inbox:
			sizes[0], eps[0] = copy(packets[0], b), e.other()
			return 1, nil
		case <-closed:
			return 0, net.ErrClosed
		}
	}
}

func (e *end) Send(bufs [][]byte, _ conn.Endpoint) error {
	for _, b := range bufs {
		if ofHandshake(b) && e.loses(e.which) {
			e.say(e.which, "a message of type %d is lost", b[0])
			continue
		}
		b = slices.Clone(b)
		time.AfterFunc(wayTime, func() { e.other().inbox <- b })
		if e.twice {
			time.AfterFunc(3*wayTime, func() { e.other().inbox <- b })
		}
	}
	return nil
}

func ofHandshake(b []byte) bool { return isInitiation(b) || isResponse(b) }

// log is where a device says what it does.
func (e *end) log(format string, args ...any) {
	_, text, _ := strings.Cut(fmt.Sprintf(format, args...), "- ")
	if strings.Contains(text, "andshake") {
		e.say(e.which, "%s", text)
		e.pause(e.which, text)
	}
}

// slowBind is between a device and what is beneath: each message of a handshake may be late
// on its own, as those are that several goroutines take.
type slowBind struct {
	conn.Bind
	of *end
}

func (s slowBind) Send(bufs [][]byte, ep conn.Endpoint) error {
	if ofHandshake(bufs[0]) {
		s.of.pause(s.of.which, hasMade)
	}
	return s.Bind.Send(bufs, ep)
}

func (s slowBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	receive, port, err := s.Bind.Open(port)
	inbox, closed := make(chan []byte, 1000), make(chan struct{})
	go func() {
		defer close(closed)
		packets, sizes, eps := [][]byte{make([]byte, 2048)}, make([]int, 1), make([]conn.Endpoint, 1)
		for {
			n, err := receive[0](packets, sizes, eps)
			if err != nil {
				return
			}
			switch b := slices.Clone(packets[0][:sizes[0]]); {
			case n == 0 || len(b) == 0:
			case ofHandshake(b):
				go func() { s.of.pause(s.of.which, isShown); inbox <- b }()
			default:
				inbox <- b
			}
		}
	}()
	return []conn.ReceiveFunc{s.of.from(inbox, closed)}, port, err
}

// kept are all peers that there were: their queues have finalizers, which run outside of
// the bubbles of synctest, and may not touch a channel of such a bubble.
var kept struct {
	sync.Mutex
	peers []*device.Peer
}

func keep(p *device.Peer) {
	kept.Lock()
	defer kept.Unlock()
	kept.peers = append(kept.peers, p)
}

// newTunnel has two devices that know each other.
func newTunnel(t *testing.T, h hazards) *tunnel {
	w := &tunnel{hazards: h, begun: time.Now()}
	keys := []key.Private{key.NewPrivate(), key.NewPrivate()}
	slices.SortFunc(keys, func(a, b key.Private) int { return a.Public().Compare(b.Public()) })
	for i, k := range keys {
		w.ends[i] = &end{
			tunnel: w, which: i, own: k, addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}),
			tun: tuntest.NewChannelTUN(), inbox: make(chan []byte, 1000),
		}
	}
	for i, e := range w.ends {
		e.trips = newTrips(e, e.Key(), func(k key.Public) {
			e.say(i, "begins anew")
			beginAnew(e.device, k)
		})
		var bind conn.Bind = e.trips
		if h.plain[i] {
			bind = e
		}
		e.device = device.NewDevice(e.tun.TUN(), slowBind{bind, e}, &device.Logger{Verbosef: e.log, Errorf: e.log})
		secret, other := strings.TrimPrefix(e.own.Text(), "privkey:"), e.other()
		if err := e.device.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=it\nallowed_ip=%s/32\n", secret, other.Key().Hex(), other.addr)); err != nil {
			t.Fatal(err)
		}
		keep(e.device.LookupPeer(device.NoisePublicKey(other.Key())))
		if err := e.device.Up(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// meet has both send, and returns after which time both have received.
func (w *tunnel) meet() time.Duration {
	var users, met sync.WaitGroup
	stop := make(chan struct{})
	for i, e := range w.ends {
		met.Add(1)
		users.Go(func() { e.use(w.late[i], stop) })
		users.Go(func() { e.listen(met.Done, stop) })
	}
	met.Wait()
	took := time.Since(w.begun)
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	time.Sleep(time.Second) // whoever is slow now comes to an end
	close(stop)
	users.Wait()
	for _, e := range w.ends {
		e.trips.end()
		e.device.Close()
	}
	return took
}

// use sends packets.
func (e *end) use(late time.Duration, stop chan struct{}) {
	time.Sleep(late)
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for ping := tuntest.Ping(e.other().addr, e.addr); ; {
		select {
		case e.tun.Outbound <- ping:
		case <-stop:
			return
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// listen takes packets, and tells of the first one.
func (e *end) listen(met func(), stop chan struct{}) {
	for {
		select {
		case <-e.tun.Inbound:
			met()
			met = func() {}
		case <-stop:
			return
		}
	}
}

// Whatever happens when two begin, both have keys before a device tries again itself.
func TestTunnelsBegin(t *testing.T) {
	at := func(end int, moment string, d time.Duration) func(int, string) time.Duration {
		return func(e int, m string) time.Duration {
			if e == end && m == moment {
				return d
			}
			return 0
		}
	}
	before := func(from int, d time.Duration) func(int, time.Duration) bool {
		return func(f int, age time.Duration) bool { return f == from && age < d }
	}
	for _, c := range []struct {
		what string
		hazards
	}{
		{"nothing happens", hazards{}},
		{"the answer is lost", hazards{lost: before(greater, 10*time.Millisecond)}},
		{"nothing of either is heard for a second", hazards{lost: func(_ int, age time.Duration) bool { return age < time.Second }}},
		{"theirs comes while the answer is taken", hazards{slow: at(lesser, hasKeys, 400*time.Millisecond)}},
		{"ours is made while theirs is taken", hazards{slow: at(greater, hasTaken, 20*time.Millisecond), late: [2]time.Duration{greater: 10 * time.Millisecond}}},
		{"ours is made while theirs is taken, by the lesser", hazards{slow: at(lesser, hasTaken, 20*time.Millisecond), late: [2]time.Duration{lesser: 10 * time.Millisecond}}},
		{"both are sent late", hazards{slow: func(_ int, m string) time.Duration {
			if m == hasMade {
				return 50 * time.Millisecond
			}
			return 0
		}}},
		{"all comes both ways", hazards{twice: true, slow: at(greater, hasTaken, 5*wayTime)}},
		{"the lesser is a device alone", hazards{plain: [2]bool{lesser: true}}},
		{"the greater is a device alone", hazards{plain: [2]bool{greater: true}}},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTunnel(t, c.hazards)
				if took := w.meet(); took > soon {
					t.Errorf("it takes %v:\n%s", took, strings.Join(w.said, "\n"))
				}
			})
		})
	}
}

// The same with hazards at random.
func TestTunnelsBeginOnBusyMachines(t *testing.T) {
	const times = 12
	for what, plain := range map[string][2]bool{"both are ours": {}, "one is a device alone": {lesser: true}, "the other is": {greater: true}} {
		t.Run(what, func(t *testing.T) {
			for seed := range uint64(times) {
				r := rand.New(rand.NewPCG(seed, 0))
				upTo := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
				h := hazards{plain: plain, twice: seed%3 == 0, late: [2]time.Duration{upTo(100 * time.Millisecond), upTo(100 * time.Millisecond)}}
				h.slow = func(int, string) time.Duration { return upTo(100*time.Millisecond) * time.Duration(r.IntN(2)) }
				if seed%2 == 0 && plain == [2]bool{} {
					h.lost = func(int, time.Duration) bool { return r.IntN(4) == 0 }
				}
				synctest.Test(t, func(t *testing.T) {
					w := newTunnel(t, h)
					if took := w.meet(); took > device.RekeyTimeout {
						t.Errorf("%d: it takes %v:\n%s", seed, took, strings.Join(w.said, "\n"))
					}
				})
			}
		})
	}
}
