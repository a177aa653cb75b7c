package stun

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// starters serve as on Linux and as on other systems.
var starters = map[string]func(testing.TB, Config) *Responder{"batches": start, "singly": startSingly}

// start serves requests until the test ends.
func start(t testing.TB, config Config) *Responder {
	t.Helper()
	return startBy(t, config, func(r *Responder) error { return r.Serve(context.Background()) })
}

func startSingly(t testing.TB, config Config) *Responder {
	t.Helper()
	return startBy(t, config, singly)
}

func startBy(t testing.TB, config Config, serve func(*Responder) error) *Responder {
	t.Helper()
	r, err := Listen(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- serve(r) }()
	t.Cleanup(func() {
		r.Close()
		if err := <-ended; err != nil {
			t.Errorf("serving: %v", err)
		}
		checkSums(t, r.Snapshot())
	})
	return r
}

// canListen tells whether this host has the addresses that a responder is to listen on. It asks the system and not Listen, whose failures
// are for the tests to find.
func canListen(t *testing.T, listen string) bool {
	t.Helper()
	if !strings.HasPrefix(listen, "[") {
		return true
	}
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Logf("without %s, as this host has no IPv6: %v", listen, err)
		return false
	}
	c.Close()
	return true
}

func checkSums(t testing.TB, s Snapshot) {
	t.Helper()
	i := s.Ignored
	ignored := i.TooLong + i.Header + i.NotRequest + i.Attributes + i.Software + i.FingerprintNotLast + i.FingerprintValue
	if s.Received != s.Requests+ignored || s.Requests != s.AnsweredIPv4+s.AnsweredIPv6+s.Unhealthy+s.SendErrors {
		t.Errorf("the sums do not hold: %+v", s)
	}
}

// at returns the responder's port at a host.
func at(r *Responder, host string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), r.Addr().Port())
}

// A client's socket is connected, so it hears only the address that it asked.
func dial(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c
}

func exchange(t testing.TB, c *net.UDPConn, request []byte) []byte {
	t.Helper()
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2000)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func TestResponderAnswersBothFamilies(t *testing.T) {
	request := []byte(loadVectors(t).Request)
	for _, test := range []struct {
		listen string
		ask    []string
	}{
		{"127.0.0.1:0", []string{"127.0.0.1"}},
		{"[::1]:0", []string{"::1"}},
		{"0.0.0.0:0", []string{"127.0.0.1"}},
		{"[::]:0", []string{"127.0.0.1", "::1"}},
		{":0", []string{"127.0.0.1"}},
	} {
		if !canListen(t, test.listen) {
			continue
		}
		t.Run(test.listen, func(t *testing.T) {
			r := start(t, Config{Addr: test.listen})
			for _, host := range test.ask {
				c := dial(t, at(r, host))
				got := exchange(t, c, request)
				want := make([]byte, maxAnswer)
				copy(want, request)
				want = want[:putAnswer(want, c.LocalAddr().(*net.UDPAddr).AddrPort())]
				if !bytes.Equal(got, want) {
					t.Errorf("from %s: answer\n%x, want\n%x", host, got, want)
				}
				if ipv4 := len(got) == answerIPv4; ipv4 != strings.Contains(host, ".") {
					t.Errorf("from %s: %d bytes", host, len(got))
				}
			}
		})
	}
}

func TestResponderIgnoresWhatIsNoRequest(t *testing.T) {
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			r := start(t, Config{Addr: "127.0.0.1:0"})
			v := loadVectors(t)
			c := dial(t, r.Addr())
			var wanted, unwanted uint64
			for _, test := range v.Requests {
				if test.Replies {
					wanted++
					exchange(t, c, test.Packet)
					continue
				}
				unwanted++
				if _, err := c.Write(test.Packet); err != nil {
					t.Fatal(err)
				}
			}
			for _, n := range []int{0, maxRequest + 1, 9000, 60_000} {
				unwanted++
				long := make([]byte, n)
				copy(long, v.Request)
				if _, err := c.Write(long); err != nil {
					t.Fatal(err)
				}
			}
			// Loopback keeps the order: all has been looked at when this is
			// answered, and nothing else was.
			wanted++
			last, request, err := newRequest()
			if err != nil {
				t.Fatal(err)
			}
			if id, _ := answeredTransaction(exchange(t, c, request)); id != last {
				t.Error("something was answered that should not be")
			}
			eventually(t, func() bool { return r.Snapshot().AnsweredIPv4 == wanted })
			s := r.Snapshot()
			if s.Received != wanted+unwanted || s.Requests != wanted || s.Ignored.TooLong != 3 {
				t.Errorf("%d requests and %d others: %+v", wanted, unwanted, s)
			}
			if s.Ignored.Header == 0 || s.Ignored.NotRequest == 0 || s.Ignored.Attributes == 0 || s.Ignored.Software == 0 ||
				s.Ignored.FingerprintNotLast == 0 || s.Ignored.FingerprintValue == 0 {
				t.Errorf("a reason that is never counted: %+v", s.Ignored)
			}
		})
	}
}

func eventually(t testing.TB, is func() bool) {
	t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it did not come to that")
}

func TestUnhealthyResponderIsSilent(t *testing.T) {
	var healthy atomic.Bool
	r := start(t, Config{Addr: "127.0.0.1:0", Healthy: healthy.Load})
	request := []byte(loadVectors(t).Request)
	c := dial(t, r.Addr())
	if _, err := c.Write(request); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return r.Snapshot().Unhealthy == 1 })
	if s := r.Snapshot(); s.Healthy || s.AnsweredIPv4 != 0 {
		t.Errorf("%+v", s)
	}
	healthy.Store(true)
	exchange(t, c, request)
	eventually(t, func() bool { return r.Snapshot().AnsweredIPv4 == 1 })
	if s := r.Snapshot(); !s.Healthy || s.Requests != 2 {
		t.Errorf("%+v", s)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	r, err := Listen(t.Context(), Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Serve(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing it again: %v", err)
	}
	if err := r.Serve(context.Background()); err != nil {
		t.Errorf("serving it again: %v", err)
	}
}

func TestListenSaysWhatToDo(t *testing.T) {
	taken := start(t, Config{Addr: "127.0.0.1:0"})
	for addr, want := range map[string]string{
		taken.Addr().String(): "another STUN server has the port",
		"192.0.2.1:3478":      "no interface has this address",
		"3478":                "write host:port or :port",
		"127.0.0.1:":          "has no port",
		"127.0.0.1:99999":     "127.0.0.1:99999",
		"host.invalid:3478":   "host.invalid",
	} {
		r, err := Listen(t.Context(), Config{Addr: addr})
		if err == nil {
			r.Close()
			t.Errorf("%s: no error", addr)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want a word about %q", addr, err, want)
		}
	}
}

func TestAnswersAllocateNothing(t *testing.T) {
	request := []byte(loadVectors(t).Request)
	for name, start := range starters {
		for listen, host := range map[string]string{"127.0.0.1:0": "127.0.0.1", "[::]:0": "127.0.0.1", "[::1]:0": "::1"} {
			if !canListen(t, listen) {
				continue
			}
			t.Run(name+" "+listen, func(t *testing.T) {
				r := start(t, Config{Addr: listen, Healthy: func() bool { return true }})
				c := dial(t, at(r, host))
				b := make([]byte, maxRequest)
				const burst = 40 // more than a batch
				got := testing.AllocsPerRun(50, func() {
					for range burst {
						if _, err := c.Write(request); err != nil {
							t.Fatal(err)
						}
					}
					for range burst {
						if _, err := c.Read(b); err != nil {
							t.Fatal(err)
						}
					}
				})
				if got != 0 {
					t.Errorf("%v allocations for %d answers", got, burst)
				}
			})
		}
	}
}
