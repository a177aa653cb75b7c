package client

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/packetqueue"
	"github.com/detour-relay/detour/key"
)

// A region that cannot be connected to keeps nobody waiting: not who sends there,
// and not the other regions.
func TestBadRegionHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40, 50)
		w.of(901)[0].swallows.Store(true)
		a, b := w.host(), w.host()
		w.awaitHomes(a, b)
		w.listen(a)
		lb := w.listen(b)
		lost := key.NewPrivate().Public()
		a.SetPeerHome(lost, 901)
		start := time.Now()
		const n = 3 * packetqueue.MaxPackets
		for range n {
			a.Send(lost, make([]byte, 1000))
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("sending took %v", took)
		}
		a.Send(b.cfg.Key.Public(), []byte("x"))
		time.Sleep(time.Second)
		if got := len(lb.take()); got != 1 {
			t.Errorf("%d packets through the other region", got)
		}
		time.Sleep(30 * time.Second)
		if s := a.Stats(); s.Queued != n+1 || s.Dropped != n {
			t.Errorf("%+v, want all but one to be dropped", s)
		}
		a.Close()
		b.Close()
	})
}

// Packets for a region that is being connected to wait for it, so long as they may.
func TestPacketsWaitForTheirRegion(t *testing.T) {
	for name, age := range map[string]time.Duration{"by default": 0, "longer": 12 * time.Second} {
		t.Run(name, func(t *testing.T) { packetsWait(t, age) })
	}
}

func packetsWait(t *testing.T, age time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 5)
		a, b := w.host(farFrom(901, time.Second), func(cfg *HostConfig) { cfg.MaxAge = age }), w.host(farFrom(900, time.Second))
		w.awaitHomes(a, b)
		w.listen(a)
		lb := w.listen(b)
		w.of(901)[0].swallows.Store(true)
		a.SetPeerHome(b.cfg.Key.Public(), 901)
		a.Send(b.cfg.Key.Public(), []byte("old"))
		time.Sleep(cmp.Or(age, packetqueue.DefaultAge) - time.Second)
		for i := range byte(10) {
			a.Send(b.cfg.Key.Public(), []byte{i})
		}
		time.Sleep(2 * time.Second)
		w.of(901)[0].swallows.Store(false)
		time.Sleep(2 * time.Second)
		got := lb.take()
		for i, msg := range got {
			if len(msg.Packet) != 1 || int(msg.Packet[0]) != i {
				t.Errorf("packet %d is %q", i, msg.Packet)
			}
		}
		if len(got) != 10 {
			t.Errorf("%d packets, want the 10 that had not grown old", len(got))
		}
		a.Close()
		b.Close()
	})
}

// What is in a tunnel is of no use soon.
func TestPacketsThatMayNotWaitLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 50)
		a := w.host(func(cfg *HostConfig) { cfg.MaxAge = 200 * time.Millisecond })
		w.awaitHomes(a)
		w.listen(a)
		w.of(901)[0].swallows.Store(true)
		a.SetPeerHome(key.Public{1}, 901)
		for i := range uint64(3) {
			a.Send(key.Public{1}, []byte("x"))
			time.Sleep(190 * time.Millisecond)
			if got := a.Stats().Dropped; got != i {
				t.Errorf("%d packets are dropped before their time, of %d", got-i, i+1)
			}
			time.Sleep(20 * time.Millisecond)
			if got := a.Stats().Dropped; got != i+1 {
				t.Errorf("%d packets are dropped, want all %d", got, i+1)
			}
		}
		a.Close()
	})
}

// What a map says wrongly costs its own node or region only.
func TestHostWithHostileMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, 40)
		m := w.derpMap()
		m.Regions[900].Nodes = append([]*derpmap.Node{
			nil, {}, {HostName: "a/b?c"}, {HostName: "relay.example.com", DERPPort: -7}, {HostName: "x", CertName: "sha256-raw:zz"},
			{HostName: "y", STUNOnly: true}, {HostName: "\x00"}, {Name: "ä\r\nX: y", HostName: "relay.example.com", IPv4: "none", IPv6: "none"},
		}, m.Regions[900].Nodes...)
		m.Regions[1] = nil
		m.Regions[2] = &derpmap.Region{}
		m.Regions[-3] = &derpmap.Region{Nodes: m.Regions[901].Nodes}
		m.Regions[4] = &derpmap.Region{RegionID: 7, Nodes: []*derpmap.Node{{HostName: "::"}, nil}}
		m.HomeParams = &derpmap.HomeParams{RegionScore: map[int]float64{900: -1, 901: 1e300}}
		n := w.host(func(cfg *HostConfig) { cfg.Map = m })
		w.listen(n)
		w.awaitHomes(n)
		atHome(t, n, 901) // STUN goes to the first nodes of a region only
		for _, id := range []int{-3, 1, 2, 4, 5, 1 << 40, 900} {
			peer := key.NewPrivate().Public()
			n.SetPeerHome(peer, id)
			n.Send(peer, []byte("x"))
		}
		time.Sleep(20 * time.Second)
		if got := regionsOf(n); got != "-3* 4 900* 901*" {
			t.Errorf("open: %s", got)
		}
		time.Sleep(time.Hour)
		atHome(t, n, 901)
		if dials := w.dials.Load(); dials > 200 { // about 35: nobody sends, so nobody tries again

			t.Errorf("%d connections tried in an hour", dials)
		}
		n.Close()
	})
}

func TestHostConfigRefused(t *testing.T) {
	m := new(derpmap.Map)
	for name, cfg := range map[string]HostConfig{
		"no key":   {Map: m},
		"no map":   {Key: key.NewPrivate()},
		"too old":  {Key: key.NewPrivate(), Map: m, MaxAge: time.Hour},
		"too soon": {Key: key.NewPrivate(), Map: m, MaxAge: -1},
		"app name": {Key: key.NewPrivate(), Map: m, Base: Config{AppName: "ä"}},
	} {
		if _, err := NewHost(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Without regions there is nothing to do, and nothing is done.
func TestHostWithoutRegions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newWorld(t).host()
		time.Sleep(time.Hour)
		if err := n.Send(key.Public{1}, nil); err != ErrNoRegion || n.Stats().NoRegion != 1 {
			t.Errorf("%v, %+v", err, n.Stats())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := n.AwaitHome(ctx); err != context.DeadlineExceeded {
			t.Error(err)
		}
		n.Close()
		if err := n.Send(key.Public{1}, nil); err != ErrClosed {
			t.Error(err)
		}
		if _, err := n.AwaitHome(t.Context()); err != ErrClosed {
			t.Error(err)
		}
		if _, err := n.Recv(nil); err != ErrClosed {
			t.Error(err)
		}
	})
}

// Whatever a Host is doing, Close ends it, and who waits in it.
func TestHostCloseAtEveryMoment(t *testing.T) {
	w := newWorld(t, 1, 2, 3)
	w.of(902)[0].swallows.Store(true)
	dial := w.dial
	for i := range 100 {
		n := w.host(func(cfg *HostConfig) {
			cfg.Base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
				return dial(ctx, network, addr)
			}
			cfg.ReportHome = func(ctx context.Context, _ Home) error { <-ctx.Done(); return ctx.Err() }
			cfg.OnState = func(HostState) {}
		})
		var all sync.WaitGroup
		all.Go(func() {
			buf := make([]byte, derp.MaxPacket)
			for {
				if _, err := n.Recv(buf); err == ErrClosed {
					return
				}
			}
		})
		all.Go(func() {
			for k := 0; ; k++ {
				peer := numbered(k % 50)
				n.SetPeerHome(peer, 900+k%4)
				if n.Send(peer, []byte("x")) == ErrClosed {
					return
				}
				if k%100 == 0 {
					n.NetworkChanged()
				}
			}
		})
		all.Go(func() {
			for m := w.derpMap(); n.ctx.Err() == nil; m = m.Clone() {
				m.Regions[901].RegionName += "x"
				n.offerMap(m, nil)
				n.State()
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(time.Duration(i) * 300 * time.Microsecond)
		within(t, "Close", func() { n.Close(); all.Wait() })
	}
}

// A map of 1 MB has thousands of regions; a Host measures them within bounds, and
// connects to one.
func TestHostWithALargeMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &derpmap.Map{Regions: make(map[int]*derpmap.Region)}
		for id := 1; id <= 6505; id++ {
			m.Regions[id] = &derpmap.Region{RegionID: id, Nodes: []*derpmap.Node{{HostName: "r.example", IPv4: "198.51.100.1", IPv6: "2001:db8::1"}}}
		}
		before := runtime.NumGoroutine()
		var most, dials atomic.Int64
		look := func() {
			for n := int64(runtime.NumGoroutine() - before); n > most.Load(); {
				most.Store(n)
			}
		}
		n, err := NewHost(HostConfig{
			Key: key.NewPrivate(), Map: m,
			Base: Config{Proxy: noProxy, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				dials.Add(1)
				look()
				<-ctx.Done()
				return nil, ctx.Err()
			}},
			ListenPacket: func(context.Context, string, string) (net.PacketConn, error) {
				return &deafSocket{look: look, closed: make(chan struct{})}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		n.Close()
		const goroutines, connections = 2000, 1500 // about twice what it takes
		if most.Load() > goroutines || dials.Load() > connections || most.Load() == 0 {
			t.Errorf("%d goroutines, %d connections tried", most.Load(), dials.Load())
		}
	})
}

// deafSocket is one on which no answer arrives.
type deafSocket struct {
	net.PacketConn
	look   func()
	once   sync.Once
	closed chan struct{}
}

func (d *deafSocket) WriteTo(b []byte, _ net.Addr) (int, error) { d.look(); return len(b), nil }
func (d *deafSocket) ReadFrom([]byte) (int, net.Addr, error) {
	<-d.closed
	return 0, nil, net.ErrClosed
}
func (d *deafSocket) SetReadDeadline(time.Time) error  { return nil }
func (d *deafSocket) SetWriteDeadline(time.Time) error { return nil }
func (d *deafSocket) SetDeadline(time.Time) error      { return nil }
func (d *deafSocket) LocalAddr() net.Addr              { return &net.UDPAddr{} }

func (d *deafSocket) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}
