package client

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

func TestLoginWaitsUntilAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := derp.ServerInfo{Version: 2, TokenBucketBytesPerSecond: 1 << 20, TokenBucketBytesBurst: 1 << 16}
		start := time.Now()
		c, info, err := Login(t.Context(), pipeRelay(t, func(s *side) {
			s.takeOver()
			time.Sleep(3 * time.Second)
			s.write(derp.AppendHealth(nil, "not yet"))
			s.write(s.serverInfo(want))
			s.write(derp.AppendRecvPacket(nil, key.Public{1}, []byte("first")))
			s.drain()
		}))
		if err != nil || info != want || time.Since(start) != 3*time.Second {
			t.Fatalf("%+v, %v after %v", info, err, time.Since(start))
		}
		if msg := recv(t, c, MessagePacket); string(msg.Packet) != "first" {
			t.Errorf("received %q", msg.Packet)
		}
		c.Close()
	})
}

// The context has no influence on the connection afterwards.
func TestLoginOutlivesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		c, _, err := Login(ctx, pipeRelay(t, func(s *side) {
			s.admit()
			s.echo()
		}))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(time.Minute)
		if took, err := c.Ping(t.Context()); err == nil || c.ended() != nil {
			t.Errorf("answered in %v though nobody receives; ended: %v", took, c.ended())
		}
		c.Close()
	})
}

func TestLoginFails(t *testing.T) {
	why := errors.New("changed our mind")
	for name, test := range map[string]struct {
		script func(*side)
		ends   func(context.Context) (context.Context, context.CancelFunc)
		want   error
		took   time.Duration
	}{
		"relay silent, no deadline": {
			script: func(s *side) { s.takeOver(); s.drain() },
			want:   context.DeadlineExceeded, took: connectTimeout,
		},
		"relay silent, deadline": {
			script: func(s *side) { s.takeOver(); s.drain() },
			ends: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 3*time.Second)
			},
			want: context.DeadlineExceeded, took: 3 * time.Second,
		},
		"context cancelled before the greeting": {
			script: func(s *side) { s.request(); s.drain() },
			ends:   cancelledAfter(time.Second, why),
			want:   why, took: time.Second,
		},
		"context cancelled before admission": {
			script: func(s *side) { s.takeOver(); s.drain() },
			ends:   cancelledAfter(time.Second, why),
			want:   why, took: time.Second,
		},
		"context over before": {
			script: func(s *side) { s.drain() },
			ends:   cancelledAfter(0, why),
			want:   why,
		},
		"relay refuses": {
			script: func(s *side) { s.takeOver(); time.Sleep(time.Second) },
			want:   ErrAdmissionRefused, took: time.Second,
		},
		"relay goes away within a frame": {
			script: func(s *side) { s.takeOver(); s.write([]byte{byte(derp.FrameServerInfo), 0}) },
			want:   ErrAdmissionRefused,
		},
		"packet before admission": {
			script: func(s *side) {
				s.takeOver()
				s.write(derp.AppendRecvPacket(nil, key.Public{1}, []byte("early")))
				s.drain()
			},
			want: ErrProtocol,
		},
		"empty packet before admission": {
			script: func(s *side) { s.takeOver(); s.write(derp.AppendRecvPacket(nil, key.Public{1}, nil)); s.drain() },
			want:   ErrProtocol,
		},
		"ServerInfo that is not for us": {
			script: func(s *side) {
				s.takeOver()
				other := key.NewPrivate().Box(s.peer)
				s.write(derp.AppendServerInfo(nil, &other, derp.ServerInfo{Version: 2}))
				s.drain()
			},
			want: ErrProtocol,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				if test.ends != nil {
					ctx, cancel = test.ends(ctx)
				}
				defer cancel()
				start := time.Now()
				c, _, err := Login(ctx, pipeRelay(t, test.script))
				if took := time.Since(start); c != nil || !errors.Is(err, test.want) || took != test.took {
					t.Errorf("%v, %v after %v, want %v after %v", c, err, took, test.want, test.took)
				}
				if errors.Is(err, ErrSilent) {
					t.Errorf("%v blames the relay for our own timeout", err)
				}
			})
		})
	}
}

// cancelledAfter cancels a context, or gives one that is over already.
func cancelledAfter(d time.Duration, why error) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		if d == 0 {
			cancel(why)
			return ctx, func() {}
		}
		stop := time.AfterFunc(d, func() { cancel(why) })
		return ctx, func() { stop.Stop(); cancel(nil) }
	}
}

// Dials that fail say so as Dial does.
func TestLoginWithoutConnection(t *testing.T) {
	refused := errors.New("refused")
	cfg := Config{URL: "http://relay.example.com", Key: key.NewPrivate(), Proxy: noProxy,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused }}
	if c, _, err := Login(t.Context(), cfg); c != nil || !errors.Is(err, refused) {
		t.Errorf("%v, %v", c, err)
	}
	cfg.URL = "ftp://relay.example.com"
	if c, _, err := Login(t.Context(), cfg); c != nil || err == nil {
		t.Errorf("%v, %v", c, err)
	}
}
