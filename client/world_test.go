package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// world is some regions in memory, for tests in fake time: real engines behind TLS
// and HTTP, and STUN that takes its time.
type world struct {
	t      *testing.T
	tls    *tls.Config
	relays map[string]*worldRelay // by address
	dials  atomic.Int64
	probes atomic.Int64
	serves sync.WaitGroup
}

// worldRelay is one relay. What is true of it may change while it runs.
type worldRelay struct {
	region int
	name   string
	addr   string
	key    key.Private
	engine *relay.Server

	latency  atomic.Int64 // of STUN, a time.Duration; negative: no answer
	dead     atomic.Bool  // refuses connections
	swallows atomic.Bool  // connections lead nowhere

	mu    sync.Mutex
	conns []net.Conn
}

// newWorld makes one relay for each latency in milliseconds; its region is 900 and
// so on.
func newWorld(t *testing.T, latencies ...int) *world {
	w := &world{t: t, relays: make(map[string]*worldRelay)}
	w.tls = serverTLS(newAuthority(t).issue("relay.example.com"))
	for i, ms := range latencies {
		w.add(900+i, ms)
	}
	t.Cleanup(w.stop)
	return w
}

func (w *world) add(region, ms int) *worldRelay {
	r := &worldRelay{region: region, key: key.NewPrivate()}
	for {
		r.name = fmt.Sprintf("%d%c", region, 'a'+len(w.of(region)))
		r.addr = fmt.Sprintf("192.0.2.%d", len(w.relays)+1)
		if w.relays[r.addr] == nil {
			break
		}
	}
	r.latency.Store(int64(time.Duration(ms) * time.Millisecond))
	var err error
	if r.engine, err = relay.New(relay.Config{Key: r.key}); err != nil {
		w.t.Fatal(err)
	}
	w.relays[r.addr] = r
	return r
}

// of returns the relays of a region, in order.
func (w *world) of(region int) (relays []*worldRelay) {
	for i := range len(w.relays) {
		if r := w.relays[fmt.Sprintf("192.0.2.%d", i+1)]; r.region == region {
			relays = append(relays, r)
		}
	}
	return relays
}

func (w *world) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, r := range w.relays {
		r.kill()
		if err := r.engine.Shutdown(ctx); err != nil {
			w.t.Error(err)
		}
	}
	w.serves.Wait()
}

// kill breaks all connections, and refuses others.
func (r *worldRelay) kill() {
	r.dead.Store(true)
	r.latency.Store(-1)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

// derpMap is the map of the world.
func (w *world) derpMap() *derpmap.Map {
	m := &derpmap.Map{Regions: make(map[int]*derpmap.Region)}
	for i := range len(w.relays) {
		r := w.relays[fmt.Sprintf("192.0.2.%d", i+1)]
		if m.Regions[r.region] == nil {
			m.Regions[r.region] = &derpmap.Region{RegionID: r.region}
		}
		region := m.Regions[r.region]
		region.Nodes = append(region.Nodes, &derpmap.Node{
			Name: r.name, RegionID: r.region, HostName: "relay.example.com", IPv4: r.addr, IPv6: "none", STUNTestIP: r.addr,
			InsecureForTests: true,
		})
	}
	return m
}

// host makes a Host that lives in this world.
func (w *world) host(change ...func(*HostConfig)) *Host {
	w.t.Helper()
	cfg := HostConfig{
		Key: key.NewPrivate(), Map: w.derpMap(),
		Base:         Config{Proxy: noProxy, DialContext: w.dial},
		ListenPacket: w.listenPacket,
		// The resolver of package net must not be first used in a bubble: nobody else
		// could use it after that.
		Lookup: func(context.Context, string, string) ([]netip.Addr, error) { return nil, errNoName },
	}
	for _, f := range change {
		f(&cfg)
	}
	n, err := NewHost(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { n.Close() })
	return n
}

func (w *world) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	w.dials.Add(1)
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	r := w.relays[host]
	switch {
	case r == nil || r.dead.Load():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	case r.swallows.Load():
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ours, theirs := net.Pipe()
	r.mu.Lock()
	r.conns = append(r.conns, theirs)
	r.mu.Unlock()
	w.serves.Go(func() {
		defer theirs.Close()
		w.serve(r, newSide(w.t, r.key, tls.Server(theirs, w.tls)))
	})
	return ours, nil
}

func (w *world) serve(r *worldRelay, s *side) {
	head, ok := s.request()
	switch {
	case !ok:
	case strings.HasPrefix(head, "GET /derp/latency-check "):
		time.Sleep(50 * time.Millisecond)
		s.write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	case s.write([]byte(switchingProtocols)):
		early, _ := s.br.Peek(s.br.Buffered())
		r.engine.Serve(context.Background(), netio.Blocking(s.conn, bytes.Clone(early)), relay.Origin{})
	}
}

var errNoName = errors.New("no such name")

// worldSocket is a UDP socket of one who asks.
type worldSocket struct {
	w       *world
	far     map[int]time.Duration // additional latency of regions
	answers chan worldAnswer
	closed  chan struct{}
	once    sync.Once
}

type worldAnswer struct {
	data []byte
	from netip.AddrPort
}

func (w *world) listenPacket(context.Context, string, string) (net.PacketConn, error) {
	return &worldSocket{w: w, answers: make(chan worldAnswer, 1000), closed: make(chan struct{})}, nil
}

// farFrom makes a Host that lives at some distance from a region.
func farFrom(region int, far time.Duration) func(*HostConfig) {
	return func(cfg *HostConfig) {
		listen := cfg.ListenPacket
		cfg.ListenPacket = func(ctx context.Context, network, address string) (net.PacketConn, error) {
			conn, err := listen(ctx, network, address)
			conn.(*worldSocket).far = map[int]time.Duration{region: far}
			return conn, err
		}
	}
}

func (s *worldSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case a := <-s.answers:
		return copy(b, a.data), net.UDPAddrFromAddrPort(a.from), nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

func (s *worldSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.w.probes.Add(1)
	at := to.(*net.UDPAddr).AddrPort()
	r := s.w.relays[at.Addr().String()]
	if r == nil || r.latency.Load() < 0 {
		return len(b), nil
	}
	m := stun.Message{Raw: bytes.Clone(b)}
	if err := m.Decode(); err != nil {
		return 0, err
	}
	answer, err := stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: net.IPv4(203, 0, 113, 7), Port: 4242})
	if err != nil {
		return 0, err
	}
	time.AfterFunc(time.Duration(r.latency.Load())+s.far[r.region], func() { s.answers <- worldAnswer{answer.Raw, at} })
	return len(b), nil
}

func (s *worldSocket) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *worldSocket) LocalAddr() net.Addr              { return new(net.UDPAddr) }
func (s *worldSocket) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (s *worldSocket) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (s *worldSocket) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

// listener keeps calling Recv, and notes the packets.
type listener struct {
	mu      sync.Mutex
	packets []Message
	kinds   map[MessageKind]int
}

// listen receives until the Host is closed.
func (w *world) listen(h *Host) *listener {
	l := &listener{kinds: make(map[MessageKind]int)}
	w.serves.Go(func() {
		buf := make([]byte, derp.MaxPacket)
		for {
			msg, err := h.Recv(buf)
			if err != nil {
				if err != ErrClosed {
					w.t.Error(err)
				}
				return
			}
			l.mu.Lock()
			l.kinds[msg.Kind]++
			if msg.Kind == MessagePacket {
				msg.Packet = bytes.Clone(msg.Packet)
				l.packets = append(l.packets, msg)
			}
			l.mu.Unlock()
		}
	})
	return l
}

// take returns the packets since the last time.
func (l *listener) take() []Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	packets := l.packets
	l.packets = nil
	return packets
}

// regionsOf returns the IDs of the regions that a Host has open, and a star at each
// that is connected.
func regionsOf(h *Host) string {
	var b strings.Builder
	for _, r := range h.State().Regions {
		fmt.Fprint(&b, r.ID)
		if r.Connected {
			b.WriteByte('*')
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func atHome(t *testing.T, h *Host, region int) {
	t.Helper()
	if s := h.State(); s.Home.Region != region || !s.Connected {
		t.Errorf("home is %d (%s), connected %t, want %d; open: %s", s.Home.Region, s.Home.Reason, s.Connected, region, regionsOf(h))
	}
}

func (w *world) awaitHomes(hosts ...*Host) {
	w.t.Helper()
	for _, n := range hosts {
		if _, err := n.AwaitHome(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}
