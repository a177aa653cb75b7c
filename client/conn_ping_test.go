package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// receive keeps receiving until the connection ends, and returns a function that
// waits for that.
func receive(t *testing.T, c *Conn) (stop func() error) {
	var wg sync.WaitGroup
	var err error
	wg.Go(func() {
		buf := make([]byte, derp.MaxPacket)
		for err == nil {
			_, err = c.Recv(buf)
		}
	})
	return func() error {
		wg.Wait()
		return err
	}
}

func TestPing(t *testing.T) {
	c := admitted(t, echoRelay(t, true))
	stop := receive(t, c)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			for range 20 {
				if took, err := c.Ping(t.Context()); err != nil || took <= 0 {
					t.Errorf("%v, %v", took, err)
				}
			}
		})
	}
	wg.Wait()
	c.Close()
	if err := stop(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := c.Ping(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if len(c.control.pings) != 0 {
		t.Errorf("%d Pings are still remembered", len(c.control.pings))
	}
}

func TestPingMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := admitted(t, pipeRelay(t, func(s *side) {
			s.admit()
			_, payload, _ := s.read()
			data, err := derp.ParsePing(payload)
			if err != nil {
				t.Error(err)
			}
			s.write(derp.AppendPong(nil, [derp.PingLen]byte{})) // somebody else's
			time.Sleep(70 * time.Millisecond)
			s.write(derp.AppendPong(nil, data))
			s.drain()
		}))
		stop := receive(t, c)
		if took, err := c.Ping(t.Context()); err != nil || took != 70*time.Millisecond {
			t.Errorf("%v, %v, want 70 ms", took, err)
		}
		c.Close()
		stop()
	})
}

// Without an answer, Ping ends in time and the connection goes on.
func TestPingWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := admitted(t, pipeRelay(t, func(s *side) { s.admit(); s.drain() }))
		start := time.Now()
		if _, err := c.Ping(context.Background()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != pingTimeout {
			t.Errorf("%v after %v, want a deadline after %v", err, time.Since(start), pingTimeout)
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		if _, err := c.Ping(ctx); !errors.Is(err, why) {
			t.Errorf("%v, want %v", err, why)
		}
		if err := c.Send(key.Public{1}, nil); err != nil {
			t.Errorf("the connection is over: %v", err)
		}
	})
}

// gate is a connection whose writes can be made to wait, as those to a relay that
// does not read.
type gate struct {
	net.Conn
	shut    atomic.Bool
	reached chan struct{} // gets a value when a write has to wait
	open    chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	if g.shut.Load() {
		select {
		case g.reached <- struct{}{}:
		default:
		}
		<-g.open
	}
	return g.Conn.Write(p)
}

// gated makes cfg dial through a gate, which is there after Dial.
func gated(cfg *Config) *gate {
	g, dial := &gate{reached: make(chan struct{}, 1), open: make(chan struct{})}, cfg.DialContext
	cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		g.Conn = conn
		return g, err
	}
	return g
}

// stick makes a sender wait at the gate. The function it returns opens the gate and
// waits for the sender.
func (g *gate) stick(t *testing.T, c *Conn) (release func()) {
	g.shut.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Send(key.Public{1}, []byte("stuck")); err != nil && !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
	<-g.reached
	return func() {
		close(g.open)
		wg.Wait()
	}
}

// A relay that has stopped reading does not keep Ping beyond its time.
func TestPingWhileSendingIsStuck(t *testing.T) {
	cfg := echoRelay(t, false)
	g := gated(&cfg)
	c := admitted(t, cfg)
	release := g.stick(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 200 { // more than are queued
		wg.Go(func() {
			if _, err := c.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	within(t, "Ping", wg.Wait)
	release()
}

func TestPingIsAnswered(t *testing.T) {
	pongs := make(chan string, 10)
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		if !s.admit() {
			return
		}
		s.write([]byte("\x12\x00\x00\x00\x08pingping\x12\x00\x00\x00\x0dping pongmore\x12\x00\x00\x00\x07tooshor"))
		s.write(derp.AppendKeepAlive(nil))
		for {
			typ, payload, ok := s.read()
			if !ok {
				return
			}
			pongs <- typ.String() + " " + string(payload)
		}
	})
	c := admitted(t, relay.config(t, "http://relay.example.com"))
	recv(t, c, MessageKeepAlive) // Pings are not delivered
	for _, want := range []string{"Pong pingping", "Pong ping pon"} {
		if got := <-pongs; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := c.Stats(); got != (Stats{SkippedFrames: 1}) {
		t.Errorf("%+v, want the short one skipped", got)
	}
}

// Receiving goes on while a sender is stuck, also when there are Pings to answer.
func TestReceivingWhileSendingIsStuck(t *testing.T) {
	const pings = 1000
	stuck, pongs := make(chan struct{}), make(chan int, 1)
	relay := startRelay(t, key.NewPrivate(), nil, func(s *side) {
		s.admit()
		<-stuck
		for range pings {
			s.write(derp.AppendPing(nil, [derp.PingLen]byte{1}))
		}
		s.write(derp.AppendKeepAlive(nil))
		n := 0
		for typ, _, ok := s.read(); ok; typ, _, ok = s.read() {
			if typ == derp.FramePong {
				n++
			}
		}
		pongs <- n
	})
	cfg := relay.config(t, "http://relay.example.com")
	g := gated(&cfg)
	c := admitted(t, cfg)
	release := g.stick(t, c)
	close(stuck)
	within(t, "Recv", func() {
		if msg, err := c.Recv(nil); err != nil || msg.Kind != MessageKeepAlive {
			t.Errorf("%v, %v", msg.Kind, err)
		}
	})
	release()
	c.control.wait()
	c.Close()
	n, unanswered := <-pongs, c.Stats().UnansweredPings
	if n == 0 || unanswered == 0 || uint64(n)+unanswered != pings {
		t.Errorf("%d Pings answered and %d not, of %d", n, unanswered, pings)
	}
}

func TestErrorsNameTheRelay(t *testing.T) {
	c := admitted(t, echoRelay(t, false))
	_, err := c.Ping(canceled(t))
	if err == nil || !strings.Contains(err.Error(), c.RemoteAddr().String()) {
		t.Errorf("%v does not name %v", err, c.RemoteAddr())
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
