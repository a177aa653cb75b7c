package client

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/socket"
	"github.com/detour-relay/detour/key"
)

// pipeRelay makes cfg dial a relay at the other end of a net.Pipe, for tests with
// fake time.
func pipeRelay(t *testing.T, script func(*side)) Config {
	private := key.NewPrivate()
	var scripts sync.WaitGroup
	t.Cleanup(scripts.Wait)
	return Config{URL: "http://relay.example.com", Key: key.NewPrivate(), Proxy: noProxy,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			scripts.Go(func() {
				defer theirs.Close()
				script(newSide(t, private, theirs))
			})
			return ours, nil
		}}
}

func TestDialBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := Dial(t.Context(), pipeRelay(t, func(s *side) { s.drain() }))
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != connectTimeout {
			t.Errorf("%v after %v, want a deadline after %v", err, took, connectTimeout)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start = time.Now()
		_, err = Dial(ctx, pipeRelay(t, func(s *side) { s.drain() }))
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != time.Minute {
			t.Errorf("%v after %v, want the deadline of the context", err, took)
		}
	})
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keepAlives atomic.Int32
		c := admitted(t, pipeRelay(t, func(s *side) {
			s.admit()
			for range 3 {
				time.Sleep(119 * time.Second)
				keepAlives.Add(1)
				s.write(derp.AppendKeepAlive(nil))
			}
			s.write([]byte{byte(derp.FrameHealth), 0, 0, 0, 100})
			for s.write([]byte("x")) { // a frame that goes on and on is silence too
				time.Sleep(30 * time.Second)
			}
		}))
		for range 3 {
			recv(t, c, MessageKeepAlive)
		}
		start := time.Now()
		_, err := c.Recv(nil)
		if took := time.Since(start); !errors.Is(err, ErrSilent) || took < socket.Silence || took > socket.Silence+2*socket.SilenceSlack {
			t.Errorf("%v after %v, want ErrSilent after %v", err, took, socket.Silence)
		}
		if errors.Is(err, ErrAdmissionRefused) {
			t.Errorf("silence counts as a refusal: %v", err)
		}
		if keepAlives.Load() != 3 {
			t.Errorf("%d keep-alives", keepAlives.Load())
		}
	})
}

// Somebody who does not receive for long has not heard silence.
func TestLateReceiverIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := admitted(t, pipeRelay(t, func(s *side) {
			s.admit()
			s.write(derp.AppendKeepAlive(nil))
			s.write(derp.AppendKeepAlive(nil))
			s.drain()
		}))
		for range 2 {
			time.Sleep(10 * time.Minute)
			recv(t, c, MessageKeepAlive)
		}
	})
}
