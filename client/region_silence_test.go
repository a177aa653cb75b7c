package client

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// sendOn sends to the region without end, and counts what comes back.
func sendOn(t *testing.T, r *Region) (received *atomic.Int64) {
	received = new(atomic.Int64)
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	running.Go(func() {
		for r.ctx.Err() == nil {
			r.Send(key.Public{1}, []byte("x"))
			time.Sleep(10 * time.Millisecond)
		}
	})
	running.Go(func() {
		buf := make([]byte, derp.MaxPacket)
		for msg, err := r.Recv(buf); err == nil; msg, err = r.Recv(buf) {
			if msg.Kind == MessagePacket {
				received.Add(1)
			}
		}
	})
	return received
}

// echoAndFallSilent echoes for so long, and from then on only reads.
func (s *side) echoAndFallSilent(after time.Duration) {
	time.AfterFunc(after, func() { s.conn.SetReadDeadline(time.Unix(1, 0)) })
	s.echo()
	s.conn.SetReadDeadline(time.Time{})
	s.drain()
}

// A relay that falls silent while we send is left for the next one within 3 s.
func TestSilentFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := regionOf(t, pipeRelay(t, func(s *side) {
			if s.admit() {
				s.echoAndFallSilent(10 * time.Second)
			}
		}), pipeRelay(t, echoing))
		received := sendOn(t, r)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := received.Load()
		if before < 900 || r.Stats().Connects != 1 {
			t.Fatalf("%d packets before, %+v", before, r.Stats())
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if s := r.State(); !s.Connected || s.Node != 1 || received.Load() == before {
			t.Errorf("%+v, %d packets after", s, received.Load()-before)
		}
		if stats := r.Stats(); stats.SilentFailovers != 1 || stats.Handovers != 0 || stats.Connects != 2 {
			t.Errorf("%+v", stats)
		}
		time.Sleep(time.Hour)
		if stats := r.Stats(); stats.Connects != 2 {
			t.Errorf("%+v", stats)
		}
		r.Close()
	})
}

// So is one from which a stream of packets came, by those who only receive.
func TestSilentFailoverWhenAStreamStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := regionOf(t, pipeRelay(t, func(s *side) {
			if !s.admit() {
				return
			}
			go s.drain()
			for range 1000 {
				s.write(derp.AppendRecvPacket(nil, key.Public{1}, []byte("x")))
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(time.Minute)
		}), pipeRelay(t, echoing))
		regionRecv(t, r, MessageServerInfo)
		for range 1000 {
			regionRecv(t, r, MessagePacket)
		}
		start := time.Now()
		regionRecv(t, r, MessageServerInfo)
		if took := time.Since(start); took > 3*time.Second || r.State().Node != 1 {
			t.Errorf("%+v after %v", r.State(), took)
		}
		r.Close()
	})
}

// Those who were sending to a relay that reads no more go on through the next one.
func TestSilentFailoverFreesSenders(t *testing.T) {
	stop := make(chan struct{})
	stalled := startRelay(t, key.NewPrivate(), nil, func(s *side) { s.admit(); <-stop })
	t.Cleanup(func() { close(stop) })
	var arrived atomic.Bool
	next := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		if s.admit() {
			s.read()
			arrived.Store(true)
			s.drain()
		}
	})
	r := regionOf(t, stalled.config(t, "http://a.example"), next.config(t, "http://b.example"))
	regionRecv(t, r, MessageServerInfo)
	within(t, "sending through the next relay", func() {
		for !arrived.Load() {
			if err := r.Send(key.Public{1}, make([]byte, derp.MaxPacket)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	if stats := r.Stats(); stats.SilentFailovers != 1 {
		t.Errorf("%+v", stats)
	}
}

// stallable is a relay that can be stopped for a while: it answers later then, and
// nobody can connect.
type stallable struct {
	Config
	stalled atomic.Bool
}

func newStallable(t *testing.T) *stallable {
	w := new(stallable)
	w.Config = pipeRelay(t, func(s *side) {
		if s.admit() {
			w.echo(s)
		}
	})
	dial := w.DialContext
	w.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		for w.stalled.Load() {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return dial(ctx, network, addr)
	}
	return w
}

func (w *stallable) echo(s *side) {
	var answers []byte
	for {
		typ, payload, ok := s.read()
		switch {
		case !ok:
			return
		case typ == derp.FrameSendPacket:
			answers = derp.AppendRecvPacket(answers, s.peer, payload[derp.KeyLen:])
		case typ == derp.FramePing:
			answers = derp.AppendPong(answers, [derp.PingLen]byte(payload))
		}
		if !w.stalled.Load() {
			s.write(answers)
			answers = nil
		}
	}
}

// A network that stops for some seconds does not make us leave our relay, but makes
// the timeout longer.
func TestFalseAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newStallable(t), newStallable(t)
		r := regionOf(t, a.Config, b.Config)
		received := sendOn(t, r)
		stall := func(d time.Duration) {
			time.Sleep(10 * time.Second)
			a.stalled.Store(true)
			b.stalled.Store(true)
			time.Sleep(d)
			a.stalled.Store(false)
			time.Sleep(2 * recoveryLook)
			b.stalled.Store(false)
		}
		for i, d := range []time.Duration{1500 * time.Millisecond, 3 * time.Second, 4 * time.Second, 7 * time.Second} {
			before := received.Load()
			stall(d)
			time.Sleep(5 * time.Second)
			if s := r.State(); !s.Connected || s.Node != 0 || received.Load()-before < 1000 {
				t.Errorf("stall %d: %+v, %d packets", i, s, received.Load()-before)
			}
		}
		if timeout := time.Duration(r.timeout.Load()); timeout != 8*time.Second {
			t.Errorf("timeout %v", timeout)
		}
		r.Close()
	})
}

// Single packets after long silence ask for nothing.
func TestSinglePacketsRaiseNoAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pings atomic.Int32
		r := regionOf(t, pipeRelay(t, func(s *side) {
			if !s.admit() {
				return
			}
			for typ, payload, ok := s.read(); ok; typ, payload, ok = s.read() {
				if typ == derp.FramePing {
					pings.Add(1)
					data, _ := derp.ParsePing(payload)
					s.write(derp.AppendPong(nil, data))
				}
			}
		}))
		regionRecv(t, r, MessageServerInfo)
		for range 100 {
			time.Sleep(10 * time.Second)
			if err := r.Send(key.Public{1}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if n := pings.Load(); n > 60 { // one in 20 s, because the relay says nothing
			t.Errorf("%d Pings in 1000 s", n)
		}
		r.Close()
	})
}

// A connection that a middlebox has forgotten is replaced by one to the same relay.
func TestSilentFailoverToTheSameRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		r := regionOf(t, pipeRelay(t, func(s *side) {
			if !s.admit() {
				return
			}
			if logins.Add(1) == 1 {
				s.echoAndFallSilent(time.Minute)
				return
			}
			s.echo()
		}), pipeRelay(t, echoing))
		sendOn(t, r)
		time.Sleep(time.Minute + 3*time.Second)
		if s, stats := r.State(), r.Stats(); !s.Connected || s.Node != 0 || stats.SilentFailovers != 1 {
			t.Errorf("%+v, %+v", s, stats)
		}
		r.Close()
	})
}

// After a change of the network a dead connection is found at once, also if nothing
// is sent, and one that works stays.
func TestNetworkChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := regionOf(t, pipeRelay(t, func(s *side) {
			if s.admit() {
				s.echoAndFallSilent(time.Second)
			}
		}), pipeRelay(t, echoing))
		regionRecv(t, r, MessageServerInfo)
		time.Sleep(2 * time.Second)
		r.NetworkChanged()
		start := time.Now()
		regionRecv(t, r, MessageServerInfo)
		if took := time.Since(start); took > changeTimeout+time.Second {
			t.Errorf("found after %v", took)
		}
		r.Close()

		r = regionOf(t, pipeRelay(t, echoing))
		regionRecv(t, r, MessageServerInfo)
		for range 10 {
			r.NetworkChanged()
			time.Sleep(time.Second)
		}
		if stats := r.Stats(); stats.Connects != 1 {
			t.Errorf("%+v", stats)
		}
		r.Close()
	})
}

// Without a connection, a change of the network ends the pause before the next try.
func TestNetworkChangedEndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		cfg := deadNode()
		cfg.DialContext = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			return nil, net.ErrClosed
		}
		r := regionOf(t, cfg)
		time.Sleep(time.Hour)
		synctest.Wait()
		before := dials.Load()
		r.NetworkChanged()
		synctest.Wait()
		if dials.Load() == before {
			t.Error("not tried again at once")
		}
		r.Close()
	})
}
