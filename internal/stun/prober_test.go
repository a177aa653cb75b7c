package stun

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	alice = netip.MustParseAddrPort("192.0.2.7:41641")
	relay = netip.MustParseAddrPort("198.51.100.1:3478")
	other = netip.MustParseAddrPort("198.51.100.2:3478")
)

// fakeSocket is a network in memory: answer is handed each request, and sends
// what it likes by deliver.
type fakeSocket struct {
	answer func(s *fakeSocket, request []byte, to netip.AddrPort)
	in     chan datagram
	failed error // what writing returns

	close  sync.Once
	closed chan struct{}
}

type datagram struct {
	data []byte
	from netip.AddrPort
}

func newFakeSocket(answer func(s *fakeSocket, request []byte, to netip.AddrPort)) *fakeSocket {
	return &fakeSocket{answer: answer, in: make(chan datagram, 10_000), closed: make(chan struct{})}
}

func (s *fakeSocket) deliver(data []byte, from netip.AddrPort, after time.Duration) {
	time.AfterFunc(after, func() { s.in <- datagram{data, from} })
}

func (s *fakeSocket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-s.in:
		return copy(b, d.data), d.from, nil
	case <-s.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *fakeSocket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	request := append([]byte(nil), b...)
	s.answer(s, request, to)
	return len(b), nil
}

func (s *fakeSocket) Close() error {
	s.close.Do(func() { close(s.closed) })
	return nil
}

// answerTo returns the answer to a request from addr.
func answerTo(request []byte, addr netip.AddrPort) []byte {
	b := make([]byte, max(maxAnswer, len(request)))
	copy(b, request)
	return b[:putAnswer(b, addr)]
}

func probing(t *testing.T, answer func(s *fakeSocket, request []byte, to netip.AddrPort), f func(t *testing.T, p *Prober)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := NewProber(newFakeSocket(answer))
		f(t, p)
		if len(p.tries) != 0 {
			t.Errorf("%d tries are not forgotten", len(p.tries))
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestProbeMeasures(t *testing.T) {
	probing(t, func(s *fakeSocket, request []byte, to netip.AddrPort) {
		s.deliver(answerTo(request, alice), to, 30*time.Millisecond)
	}, func(t *testing.T, p *Prober) {
		got, err := p.Probe(t.Context(), relay)
		if want := (Result{30 * time.Millisecond, alice}); err != nil || got != want {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	})
}

func TestProbeRetries(t *testing.T) {
	var sent int
	probing(t, func(s *fakeSocket, request []byte, to netip.AddrPort) {
		if sent++; sent == 3 {
			s.deliver(answerTo(request, alice), to, 10*time.Millisecond)
		}
	}, func(t *testing.T, p *Prober) {
		begin := time.Now()
		got, err := p.Probe(t.Context(), relay, 100*time.Millisecond, 200*time.Millisecond, time.Second)
		if err != nil || got.RoundTrip != 10*time.Millisecond || time.Since(begin) != 310*time.Millisecond {
			t.Errorf("%v, %v after %v", got, err, time.Since(begin))
		}
	})
}

// The answer to an earlier request counts too, from when that one was sent.
func TestProbeTakesALateAnswer(t *testing.T) {
	var sent int
	probing(t, func(s *fakeSocket, request []byte, to netip.AddrPort) {
		if sent++; sent == 1 {
			s.deliver(answerTo(request, alice), to, 150*time.Millisecond)
		}
	}, func(t *testing.T, p *Prober) {
		got, err := p.Probe(t.Context(), relay, 100*time.Millisecond, 100*time.Millisecond)
		if err != nil || got.RoundTrip != 150*time.Millisecond || sent != 2 {
			t.Errorf("%v, %v after %d requests", got, err, sent)
		}
	})
}

func TestProbeIgnoresForgeries(t *testing.T) {
	mallory := netip.MustParseAddrPort("203.0.113.9:9")
	probing(t, func(s *fakeSocket, request []byte, to netip.AddrPort) {
		_, another, err := newRequest()
		if err != nil {
			t.Error(err)
		}
		s.deliver(answerTo(another, mallory), to, time.Millisecond)                                               // another transaction
		s.deliver(answerTo(request, mallory), other, time.Millisecond)                                            // another address
		s.deliver(answerTo(request, mallory), netip.AddrPortFrom(to.Addr(), 1), time.Millisecond)                 // another port
		s.deliver(answerTo(request, netip.AddrPortFrom(netip.IPv4Unspecified(), 7)), to, time.Millisecond)        // a lie
		s.deliver(answerTo(request, alice)[:24], to, time.Millisecond)                                            // cut
		s.deliver(request, to, time.Millisecond)                                                                  // an echo
		s.deliver(nil, to, time.Millisecond)                                                                      // nothing
		s.deliver([]byte("SSH-2.0-"), to, time.Millisecond)                                                       // no STUN
		s.deliver(answerTo(request, alice), to, 20*time.Millisecond)                                              // the answer
		s.deliver(answerTo(request, mallory), to, 21*time.Millisecond)                                            // too late
		s.deliver(answerTo(request, mallory), netip.AddrPortFrom(to.Addr(), to.Port()+1), 21*time.Millisecond)    // and so on
		s.deliver(answerTo(request, netip.AddrPortFrom(netip.IPv6LinkLocalAllNodes(), 7)), to, 1*time.Nanosecond) // a lie, early
	}, func(t *testing.T, p *Prober) {
		for range 3 {
			got, err := p.Probe(t.Context(), relay)
			if want := (Result{20 * time.Millisecond, alice}); err != nil || got != want {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		}
	})
}

func TestProbesShareASocket(t *testing.T) {
	probing(t, func(s *fakeSocket, request []byte, to netip.AddrPort) {
		delay := time.Duration(to.Port()) * time.Millisecond
		s.deliver(answerTo(request, to), to, delay)
	}, func(t *testing.T, p *Prober) {
		var all sync.WaitGroup
		for port := range uint16(300) {
			all.Go(func() {
				to := netip.AddrPortFrom(relay.Addr(), port+1)
				got, err := p.Probe(t.Context(), to)
				if want := (Result{time.Duration(port+1) * time.Millisecond, to}); err != nil || got != want {
					t.Errorf("%v, %v; want %v", got, err, want)
				}
			})
		}
		all.Wait()
	})
}

func TestProbeGivesUp(t *testing.T) {
	silent := func(*fakeSocket, []byte, netip.AddrPort) {}
	probing(t, silent, func(t *testing.T, p *Prober) {
		begin := time.Now()
		if _, err := p.Probe(t.Context(), relay); !errors.Is(err, ErrSilent) || time.Since(begin) != Timeout {
			t.Errorf("no answer: %v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Probe(ctx, relay); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("past the deadline: %v", err)
		}
		if _, err := p.Probe(ctx, relay); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			p.Close()
		}()
		if _, err := p.Probe(t.Context(), relay); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		synctest.Wait()
	})
}

func TestProbeReportsWhatCannotBeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeSocket(nil)
		s.failed = errors.New("no route")
		p := NewProber(s)
		defer p.Close()
		begin := time.Now()
		if _, err := p.Probe(t.Context(), relay, time.Second, time.Second); !errors.Is(err, s.failed) || time.Now() != begin {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestProbeOverRealSockets(t *testing.T) {
	for _, test := range []struct{ network, listen, ask string }{
		{"udp4", "127.0.0.1:0", "127.0.0.1"},
		{"udp6", "[::1]:0", "::1"},
		{"udp", "[::]:0", "127.0.0.1"},
		{"udp", "[::]:0", "::1"},
		{"udp", "[::]:0", "::ffff:127.0.0.1"},
	} {
		if !canListen(t, test.listen) {
			continue
		}
		t.Run(test.network+" "+test.ask, func(t *testing.T) {
			r := start(t, Config{Addr: test.listen})
			p, err := Dial(test.network)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					got, err := p.Probe(t.Context(), at(r, test.ask), time.Second, 2*time.Second, 10*time.Second)
					want := netip.MustParseAddr(test.ask).Unmap()
					if err != nil || got.Public.Addr() != want || got.RoundTrip <= 0 {
						t.Errorf("%+v, %v; want %v", got, err, want)
					}
				})
			}
			all.Wait()
		})
	}
}
