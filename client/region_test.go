package client

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// regionOf makes a region of nodes that have one key.
func regionOf(t testing.TB, nodes ...Config) *Region {
	t.Helper()
	var cfg RegionConfig
	for i, n := range nodes {
		n.Key = nodes[0].Key
		cfg.Nodes = append(cfg.Nodes, RelayConfig{Name: string(rune('a' + i)), Config: n})
	}
	r, err := NewRegion(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// regionRecv receives a message of a certain kind.
func regionRecv(t testing.TB, r *Region, want MessageKind) Message {
	t.Helper()
	msg, err := r.Recv(make([]byte, derp.MaxPacket))
	if err != nil || msg.Kind != want {
		t.Fatalf("received %v (%+v), %v, want %v", msg.Kind, msg, err, want)
	}
	return msg
}

func onNode(t testing.TB, r *Region, want int) {
	t.Helper()
	for range 2000 {
		if s := r.State(); s.Connected && s.Node == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%+v, want to be connected to node %d", r.State(), want)
}

func deadNode() Config {
	return Config{URL: "http://relay.example.com", Key: key.NewPrivate(), Proxy: noProxy,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }}
}

// swallowingNode takes as long as it may.
func swallowingNode() Config {
	cfg := deadNode()
	cfg.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return cfg
}

func idle(s *side) {
	if s.admit() {
		s.drain()
	}
}

func echoing(s *side) {
	if s.admit() {
		s.echo()
	}
}

func TestRegionConfigRefused(t *testing.T) {
	a, b := deadNode(), deadNode()
	bad := a
	bad.URL = "wss://x"
	for name, nodes := range map[string][]RelayConfig{
		"no nodes":   nil,
		"other keys": {{Config: a}, {Config: b}},
		"bad URL":    {{Config: a}, {Config: bad}},
	} {
		if _, err := NewRegion(RegionConfig{Nodes: nodes}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Whatever is wrong with a node, the next one is used, and is told which one we
// would rather be on.
func TestFailover(t *testing.T) {
	for name, first := range map[string]func(*testing.T) Config{
		"TCP refused": func(*testing.T) Config { return deadNode() },
		"TCP swallowed": func(*testing.T) Config {
			return swallowingNode()
		},
		"HTTP refused": func(t *testing.T) Config {
			return pipeRelay(t, func(s *side) { s.request(); s.write([]byte("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) })
		},
		"no HTTP answer": func(t *testing.T) Config { return pipeRelay(t, func(s *side) { s.drain() }) },
		"not admitted":   func(t *testing.T) Config { return pipeRelay(t, func(s *side) { s.takeOver() }) },
		"no ServerInfo":  func(t *testing.T) Config { return pipeRelay(t, func(s *side) { s.takeOver(); s.drain() }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := regionOf(t, first(t), pipeRelay(t, echoing))
				if got := r.relays[1].cfg.IdealNode; got != "a" {
					t.Errorf("ideal node %q", got)
				}
				regionRecv(t, r, MessageServerInfo)
				if s := r.State(); !s.Connected || s.Node != 1 || s.Name != "b" || time.Since(s.Since) > time.Second {
					t.Errorf("%+v", s)
				}
				if err := r.Send(key.Public{1}, []byte("hello")); err != nil {
					t.Error(err)
				}
				if msg := regionRecv(t, r, MessagePacket); string(msg.Packet) != "hello" {
					t.Errorf("%q", msg.Packet)
				}
				r.Close()
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	for _, test := range []struct {
		k      keeper
		random float64
		want   time.Duration
	}{
		{keeper{}, 1, 0},
		{keeper{failures: 1}, 1, 0},
		{keeper{failures: 2}, 0.5, 40 * time.Millisecond},
		{keeper{failures: 2, flaps: 1}, 0, 45 * time.Millisecond},
		{keeper{failures: 100}, 1, 7500 * time.Millisecond},
		{keeper{failures: 1 << 40}, 0, 2500 * time.Millisecond},
		{keeper{failures: 100, quickUntil: time.Now().Add(time.Hour)}, 0.5, backoffQuick},
	} {
		if got := test.k.backoff(time.Now(), test.random); got != test.want {
			t.Errorf("%+v: %v, want %v", test.k, got, test.want)
		}
	}
}

// Attempts never end, but become few; sending fails at once meanwhile.
func TestAllNodesDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		cfg := deadNode()
		cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, io.ErrClosedPipe
		}
		r := regionOf(t, cfg)
		time.Sleep(time.Hour)
		if n := dials.Load(); n < 3600/8 || n > 3600/2 {
			t.Errorf("%d attempts in an hour", n)
		}
		if err := r.Send(key.Public{1}, nil); err != ErrNotConnected || r.Stats().Unsent != 1 {
			t.Errorf("%v, %+v", err, r.Stats())
		}
		if s := r.State(); s.Connected || !errors.Is(s.Err, io.ErrClosedPipe) {
			t.Errorf("%+v", s)
		}
		r.Close()
		if err := r.Send(key.Public{1}, nil); err != ErrClosed {
			t.Error(err)
		}
	})
}

// A relay that ends each connection at once is not stormed, and gives way to
// another one.
func TestFlappingRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int64
		flap := func(s *side) { logins.Add(1); s.admit() }
		r := regionOf(t, pipeRelay(t, flap))
		time.Sleep(time.Hour) // also nobody calls Recv
		if n := logins.Load(); n > 3600/2 {
			t.Errorf("%d logins in an hour", n)
		}
		r.Close()
		r = regionOf(t, pipeRelay(t, flap), pipeRelay(t, idle))
		time.Sleep(time.Second)
		onNode(t, r, 1)
		r.Close()
	})
}

// After a break the same node is tried first; when it swallows packets, the next
// takes over soon.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		cut := make(chan struct{})
		first := pipeRelay(t, func(s *side) { s.admit(); <-cut })
		dial, swallow := first.DialContext, swallowingNode().DialContext
		first.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dead.Load() {
				return swallow(ctx, network, addr)
			}
			return dial(ctx, network, addr)
		}
		var mu sync.Mutex
		var states []RegionState
		r, err := NewRegion(RegionConfig{
			Nodes: []RelayConfig{{Config: first}, {Config: func() Config {
				c := pipeRelay(t, idle)
				c.Key = first.Key
				return c
			}()}},
			OnState: func(s RegionState) { mu.Lock(); states = append(states, s); mu.Unlock() },
		})
		if err != nil {
			t.Fatal(err)
		}
		regionRecv(t, r, MessageServerInfo)
		time.Sleep(time.Minute - quietTime/2)
		cut <- struct{}{}
		regionRecv(t, r, MessageServerInfo)
		onNode(t, r, 0)
		time.Sleep(steady)
		dead.Store(true)
		start := time.Now()
		cut <- struct{}{}
		regionRecv(t, r, MessageServerInfo)
		if took := time.Since(start); took > time.Second {
			t.Errorf("reconnecting took %v", took)
		}
		onNode(t, r, 1)
		r.Close()
		mu.Lock()
		defer mu.Unlock()
		var connected string
		for _, s := range states {
			connected += map[bool]string{true: "+", false: "-"}[s.Connected]
		}
		if connected != "+-+-+-" || !errors.Is(states[len(states)-1].Err, ErrClosed) {
			t.Errorf("states %q: %+v", connected, states)
		}
	})
}

// A relay that is silent and answers no Ping is left, but not one that we do not
// listen to.
func TestRegionFindsSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := regionOf(t, pipeRelay(t, idle), pipeRelay(t, echoing))
		regionRecv(t, r, MessageServerInfo)
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { regionRecv(t, r, MessageServerInfo) })
		wg.Wait()
		if took := time.Since(start); took < quietTime || took > 3*quietTime {
			t.Errorf("found after %v", took)
		}
		r.Close()

		const speaks = quietTime - time.Second
		r = regionOf(t, pipeRelay(t, func(s *side) {
			if s.admit() {
				time.Sleep(speaks)
				s.write(derp.AppendKeepAlive(nil))
				s.drain()
			}
		}), pipeRelay(t, echoing))
		regionRecv(t, r, MessageServerInfo)
		start = time.Now()
		regionRecv(t, r, MessageServerInfo)
		if took := time.Since(start); took > speaks+quietTime+quietJitter+pongTimeout+time.Second {
			t.Errorf("found %v after its last word", took-speaks)
		}
		r.Close()

		r = regionOf(t, pipeRelay(t, echoing))
		time.Sleep(time.Hour)
		if n := r.Stats().Connects; n != 1 {
			t.Errorf("%d connections to a relay that answers Pings", n)
		}
		r.Close()

		r = regionOf(t, pipeRelay(t, func(s *side) {
			if s.admit() {
				for s.write(derp.AppendRecvPacket(nil, key.Public{1}, make([]byte, 3000))) {
				}
			}
		}))
		time.Sleep(time.Hour)
		if n := r.Stats().Connects; n != 1 {
			t.Errorf("%d connections without anybody in Recv", n)
		}
		regionRecv(t, r, MessageServerInfo)
		for range 100 {
			regionRecv(t, r, MessagePacket)
		}
		r.Close()
	})
}

func TestRegionPreferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan bool, 10)
		r := regionOf(t, pipeRelay(t, func(s *side) {
			if !s.admit() {
				return
			}
			for typ, payload, ok := s.read(); ok && typ == derp.FrameNotePreferred; typ, payload, ok = s.read() {
				told <- payload[0] == 1
				if len(told) == cap(told) {
					return
				}
				if payload[0] == 0 {
					return
				}
			}
		}))
		regionRecv(t, r, MessageServerInfo)
		r.SetPreferred(true)
		if !<-told {
			t.Error("not preferred")
		}
		r.SetPreferred(true)
		r.SetPreferred(false)
		if <-told {
			t.Error("still preferred")
		}
		regionRecv(t, r, MessageServerInfo)
		r.SetPreferred(true)
		if !<-told {
			t.Error("not preferred after the break")
		}
		r.Close()
	})
}

func TestRegionBufferSize(t *testing.T) {
	sizes := []int{0, 1, 5000, derp.MaxPacket, 100, 100 << 10, 7}
	r := regionOf(t, startRelay(t, key.NewPrivate(), nil, func(s *side) {
		if s.admit() {
			for _, n := range sizes {
				s.write(derp.AppendRecvPacket(nil, key.Public{1}, make([]byte, n)))
			}
			s.drain()
		}
	}).config(t, "http://relay.example.com"))
	regionRecv(t, r, MessageServerInfo)
	for _, n := range sizes {
		if n > 0 {
			if _, err := r.Recv(make([]byte, n-1)); !errors.Is(err, ErrBufferSize) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		if msg, err := r.Recv(make([]byte, n)); err != nil || len(msg.Packet) != n {
			t.Errorf("%d of %d bytes, %v", len(msg.Packet), n, err)
		}
	}
}

// A sender that a stalled relay keeps waiting is free when the Region or the
// connection ends.
func TestRegionStalledRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		var came atomic.Int32
		r := regionOf(t, pipeRelay(t, func(s *side) {
			if came.Add(1) == 1 { // and admits nobody else, so that the sender does not go on with the next one
				s.admit()
				<-stop
			}
		}))
		regionRecv(t, r, MessageServerInfo)
		sent := make(chan error, 1)
		go func() { sent <- r.Send(key.Public{1}, make([]byte, derp.MaxPacket)) }()
		synctest.Wait() // the sender is in the write, which nobody reads
		if len(sent) > 0 {
			t.Error("the relay reads")
		}
		r.current.Load().conn.fail(io.ErrClosedPipe)
		if err := <-sent; !errors.Is(err, ErrNotConnected) {
			t.Error(err)
		}
		r.Close()
		close(stop)
	})
}

func TestRegionCloseAtEveryMoment(t *testing.T) {
	relays := []Config{
		startRelay(t, key.NewPrivate(), nil, echoing).config(t, "http://relay.example.com"),
		startRelay(t, key.NewPrivate(), nil, func(s *side) {
			if s.admit() {
				s.write(derp.AppendRestarting(nil, 0, time.Second))
				s.echo()
			}
		}).config(t, "http://relay.example.com"),
		deadNode(),
	}
	for i := range 300 {
		nodes := []Config{relays[i%3], relays[(i+1)%3], relays[(i+2)%3]}
		r := regionOf(t, nodes...)
		var wg sync.WaitGroup
		wg.Go(func() {
			buf := make([]byte, derp.MaxPacket)
			for {
				if _, err := r.Recv(buf); err != nil {
					if err != ErrClosed {
						t.Error(err)
					}
					return
				}
			}
		})
		wg.Go(func() {
			for r.ctx.Err() == nil {
				if err := r.Send(key.Public{1}, []byte("x")); err == ErrNotConnected {
					time.Sleep(100 * time.Microsecond)
				}
			}
		})
		time.Sleep(time.Duration(i) * 50 * time.Microsecond)
		within(t, "Close", func() { r.Close(); wg.Wait() })
		if s := r.State(); s.Connected || s.Err != ErrClosed {
			t.Errorf("%+v", s)
		}
	}
}

// recorder is a relay that notes the numbers in the packets it gets, and sends
// numbers of its own.
type recorder struct {
	mu    sync.Mutex
	got   map[uint64]bool
	twice int
}

func (c *recorder) take(packet []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := binary.BigEndian.Uint64(packet)
	if c.got[n] {
		c.twice++
	}
	c.got[n] = true
}

// A frameAt is a frame that a relay will have read at some time.
type frameAt struct {
	typ     derp.FrameType
	payload []byte
	at      time.Time
}

// delayed returns the frames that come, each a while after it was sent. When the
// connection ends, what is under way is lost.
func (s *side) delayed(by time.Duration) iter.Seq[frameAt] {
	frames, ended := make(chan frameAt, 10_000), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			typ, payload, ok := s.read()
			if !ok {
				return
			}
			frames <- frameAt{typ, payload, time.Now().Add(by)}
		}
	}()
	return func(yield func(frameAt) bool) {
		for {
			select {
			case <-ended:
				return
			case f := <-frames:
				select {
				case <-ended:
					return
				case <-time.After(time.Until(f.at)):
				}
				if !yield(f) {
					return
				}
			}
		}
	}
}

// serve sends packets back to their sender. After 500 it restarts; the Ping that
// comes then says that no more will come.
func (c *recorder) serve(s *side) {
	const latency = 5 * time.Millisecond
	count, left := 0, false
	for f := range s.delayed(latency) {
		switch f.typ {
		case derp.FrameSendPacket:
			_, packet, _ := derp.ParseSendPacket(f.payload)
			if !left {
				c.take(packet)
			}
			time.AfterFunc(latency, func() { s.write(derp.AppendRecvPacket(nil, s.peer, packet)) })
			if count++; count == 500 {
				s.write(derp.AppendRestarting(nil, 20*time.Millisecond, time.Second))
			}
		case derp.FramePing:
			data, _ := derp.ParsePing(f.payload)
			s.write(derp.AppendPong(nil, data))
			left = count > 500
		}
	}
}

// Relays that restart, one after the other, get every packet of a stream that never
// pauses, and so does its receiver.
func TestHandoverLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{got: map[uint64]bool{}}
		var nodes []Config
		for range 3 {
			nodes = append(nodes, pipeRelay(t, func(s *side) {
				if s.admit() {
					rec.serve(s)
				}
			}))
		}
		r := regionOf(t, nodes...)
		regionRecv(t, r, MessageServerInfo)
		seen := map[uint64]bool{}
		go func() {
			buf := make([]byte, 64)
			for msg, err := r.Recv(buf); err == nil; msg, err = r.Recv(buf) {
				if msg.Kind == MessagePacket {
					seen[binary.BigEndian.Uint64(msg.Packet)] = true
				}
			}
		}()
		var next uint64
		for r.Stats().Handovers < 4 && next < 10_000 {
			if err := r.Send(key.Public{1}, binary.BigEndian.AppendUint64(nil, next)); err != nil {
				t.Fatal(next, err)
			}
			next++
			time.Sleep(50 * time.Microsecond)
		}
		time.Sleep(time.Second)
		stats := r.Stats()
		r.Close()
		synctest.Wait()
		if got := uint64(len(rec.got)); got != next || uint64(len(seen)) != next || rec.twice > 0 || stats.Handovers != 4 || stats.Unsent > 0 {
			t.Errorf("sent %d, relays got %d (%d twice), %d came back; %+v", next, got, rec.twice, len(seen), stats)
		}
	})
}

// A relay that breaks instead of waiting for us is left at once.
func TestBreakBeforeHandover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int64
		r := regionOf(t, pipeRelay(t, func(s *side) {
			if s.admit() && logins.Add(1) == 1 {
				s.write(derp.AppendRestarting(nil, time.Hour, time.Second))
				time.Sleep(5 * time.Second)
				return
			}
			s.drain()
		}))
		start := time.Now()
		regionRecv(t, r, MessageServerInfo)
		regionRecv(t, r, MessageRestarting)
		regionRecv(t, r, MessageServerInfo)
		if took := time.Since(start); took > 6*time.Second {
			t.Error(took)
		}
		r.Close()
	})
}

func BenchmarkRegionRecv(b *testing.B) {
	for _, c := range costs {
		perWrite := 40
		if c.records {
			perWrite = 1
		}
		b.Run(c.name+"/conn", func(b *testing.B) {
			conn, buf := admitted(b, costRelay(b, c.version, flood(perWrite))), make([]byte, derp.MaxPacket)
			b.SetBytes(packetLen)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Recv(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/region", func(b *testing.B) {
			r, buf := regionOf(b, costRelay(b, c.version, flood(perWrite))), make([]byte, derp.MaxPacket)
			regionRecv(b, r, MessageServerInfo)
			b.SetBytes(packetLen)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Recv(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Without a DialContext of its own, a Region dials as the net package does.
func TestRegionDialsByItself(t *testing.T) {
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		if s.admit() {
			s.drain()
		}
	})
	r, err := NewRegion(RegionConfig{Nodes: []RelayConfig{{Config: Config{
		URL: "http://" + relay.listener.Addr().String(), Key: key.NewPrivate(), Proxy: noProxy,
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if msg, err := r.Recv(nil); err != nil || msg.Kind != MessageServerInfo {
		t.Errorf("%v, %v", msg.Kind, err)
	}
}
