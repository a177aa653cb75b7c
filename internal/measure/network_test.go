package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"github.com/detour-relay/detour/internal/home"
)

const ms = time.Millisecond

var (
	me4 = netip.MustParseAddrPort("203.0.113.7:41641")
	me6 = netip.MustParseAddrPort("[2001:db8::7]:41641")

	errNoRoute = errors.New("no route")
	errNoName  = errors.New("no such host")
	errNoMore  = errors.New("out of sockets")
)

// network is a world in memory, for one report in fake time.
type network struct {
	t testing.TB

	mu        sync.Mutex
	places    map[netip.AddrPort]*place
	names     map[string]netip.Addr // by network and host
	hanging   map[string]bool       // names that nobody ever answers for
	noSocket  map[string]error      // by network
	readFails error                 // instead of waiting
	requests  int                   // that were sent
	sockets   int                   // that were opened
	closed    int
}

// place is what a request gets to.
type place struct {
	latency time.Duration
	loses   int            // so many requests do not arrive
	sees    netip.AddrPort // us under this address
	refuses error          // instead of taking requests
	// before makes what else is delivered, before each answer.
	before func(request []byte) []datagram
}

type datagram struct {
	data []byte
	from net.Addr
}

func newNetwork(t testing.TB) *network {
	return &network{
		t: t, places: make(map[netip.AddrPort]*place), names: make(map[string]netip.Addr),
		hanging: make(map[string]bool), noSocket: make(map[string]error),
	}
}

// config has measuring done in the network.
func (n *network) config() Config {
	return Config{ListenPacket: n.listen, Lookup: n.lookup, DialContext: n.dial}
}

func (n *network) listen(_ context.Context, family, address string) (net.PacketConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if address != ":0" {
		n.t.Errorf("a socket at %s was asked for", address)
	}
	if err := n.noSocket[family]; err != nil {
		return nil, err
	}
	n.sockets++
	return &simSocket{network: n, family: family, in: make(chan datagram, 100_000), gone: make(chan struct{})}, nil
}

func (n *network) lookup(ctx context.Context, family, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	addr, known := n.names[family+" "+host]
	hangs := n.hanging[host]
	n.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if !known {
		return nil, errNoName
	}
	return []netip.Addr{addr}, nil
}

func (n *network) dial(context.Context, string, string) (net.Conn, error) { return nil, errNoRoute }

// request takes a request to a place.
func (n *network) request(s *simSocket, request []byte, to netip.AddrPort) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests++
	p := n.places[to]
	switch {
	case (s.family == "udp4") != to.Addr().Is4():
		n.t.Errorf("to %v over %s", to, s.family)
	case p == nil:
	case p.refuses != nil:
		return p.refuses
	case p.loses > 0:
		p.loses--
	default:
		n.answer(s, p, bytes.Clone(request), to)
	}
	return nil
}

func (n *network) answer(s *simSocket, p *place, request []byte, to netip.AddrPort) {
	from := net.UDPAddrFromAddrPort(to)
	time.AfterFunc(p.latency, func() {
		if p.before != nil {
			for _, d := range p.before(request) {
				s.in <- d
			}
		}
		s.in <- datagram{answerTo(n.t, request, p.sees), from}
	})
}

func answerTo(t testing.TB, request []byte, sees netip.AddrPort) []byte {
	asked := stun.Message{Raw: request}
	if err := asked.Decode(); err != nil {
		t.Error(err)
	}
	address := stun.XORMappedAddress{IP: sees.Addr().AsSlice(), Port: int(sees.Port())}
	answer, err := stun.Build(stun.NewTransactionIDSetter(asked.TransactionID), stun.BindingSuccess, &address)
	if err != nil {
		t.Error(err)
	}
	return answer.Raw
}

// simSocket is a socket of the network.
type simSocket struct {
	net.PacketConn // none: what is not below must not be used
	network        *network
	family         string
	in             chan datagram
	close          sync.Once
	gone           chan struct{}
}

func (s *simSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	if err := s.network.readFails; err != nil {
		return 0, nil, err
	}
	select {
	case d := <-s.in:
		return copy(b, d.data), d.from, nil
	case <-s.gone:
		return 0, nil, net.ErrClosed
	}
}

func (s *simSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	return len(b), s.network.request(s, b, to.(*net.UDPAddr).AddrPort())
}

func (s *simSocket) Close() error {
	s.close.Do(func() {
		s.network.mu.Lock()
		s.network.closed++
		s.network.mu.Unlock()
		close(s.gone)
	})
	return nil
}

// add makes a region of one node that answers over both families, and returns it.
func (n *network) add(id int, latency time.Duration) home.Region {
	node := home.Node{HostName: fmt.Sprintf("r%d.example", id)}
	for i, sees := range []netip.AddrPort{me4, me6} {
		addr, family := netip.AddrFrom4([4]byte{198, 51, byte(id >> 8), byte(id)}), "ip4"
		if i == 1 {
			addr, family = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 1, 14: byte(id >> 8), 15: byte(id)}), "ip6"
		}
		n.names[family+" "+node.HostName] = addr
		n.places[netip.AddrPortFrom(addr, 3478)] = &place{latency: latency, sees: sees}
	}
	return home.Region{ID: id, Nodes: []home.Node{node}}
}

// place4 and place6 are what a region added with add has.
func (n *network) place4(id int) *place { return n.place("ip4", id) }
func (n *network) place6(id int) *place { return n.place("ip6", id) }

func (n *network) place(family string, id int) *place {
	return n.places[netip.AddrPortFrom(n.names[fmt.Sprintf("%s r%d.example", family, id)], 3478)]
}

// measuring runs a report in fake time and returns it, with how long it took.
// Nothing may be left of it.
func measuring(t *testing.T, n *network, cfg Config, q home.Questions) (result Result, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		result, took = Run(t.Context(), cfg, q), time.Since(start)
		if !result.Start.Equal(start) || result.Full != q.Full {
			t.Errorf("the report began at %v and is full: %t; want %v, %t", result.Start, result.Full, start, q.Full)
		}
	})
	if n.sockets != n.closed {
		t.Errorf("%d of %d sockets are still open", n.sockets-n.closed, n.sockets)
	}
	return result, took
}
