package reach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derpmap"
)

func TestAtNodeFollowsTheMap(t *testing.T) {
	for _, test := range []struct {
		node derpmap.Node
		url  string
		ways string
	}{
		{derpmap.Node{HostName: "r.example"}, "https://r.example/derp", "tcp4 r.example:443, tcp6 r.example:443"},
		{derpmap.Node{HostName: "r.example", DERPPort: 8443, IPv4: "192.0.2.1"}, "https://r.example:8443/derp", "tcp4 192.0.2.1:8443, tcp6 r.example:8443"},
		{derpmap.Node{HostName: "r.example", IPv4: "none", IPv6: "2001:db8::1"}, "https://r.example/derp", "tcp6 [2001:db8::1]:443"},
		{derpmap.Node{HostName: "r.example", IPv4: "none", IPv6: "none"}, "https://r.example/derp", ""},
		{derpmap.Node{HostName: "192.0.2.1"}, "https://192.0.2.1/derp", "tcp4 192.0.2.1:443"},
		{derpmap.Node{HostName: "2001:db8::1", DERPPort: 1}, "https://[2001:db8::1]:1/derp", "tcp6 [2001:db8::1]:1"},
		{derpmap.Node{HostName: "r.example", IPv4: "2001:db8::1", IPv6: "192.0.2.1"}, "https://r.example/derp", ""},
	} {
		t.Run(fmt.Sprintf("%+v", test.node), func(t *testing.T) {
			var ways []string
			for _, a := range dialAddrs(&test.node) {
				ways = append(ways, a.network+" "+a.addr)
			}
			if got := strings.Join(ways, ", "); got != test.ways {
				t.Errorf("ways %s, want %s", got, test.ways)
			}
			cfg, err := Config{}.AtNode(&test.node, nil)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.URL != test.url {
				t.Errorf("URL %s, want %s", cfg.URL, test.url)
			}
			if _, err := New(cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAtNodeRefusesHostsThatAreNone(t *testing.T) {
	for _, node := range []derpmap.Node{
		{}, {HostName: "a/b"}, {HostName: "a?b"}, {HostName: "user@host"}, {HostName: "a b"}, {HostName: "fe80::1%eth0"},
		{HostName: "r.example", DERPPort: -1}, {HostName: "r.example", CertName: "sha256-raw:x"},
	} {
		cfg, err := Config{}.AtNode(&node, nil)
		if err == nil {
			_, err = New(cfg)
		}
		if err == nil {
			t.Errorf("%+v was accepted", node)
		}
	}
}

// racing is a dial function whose outcomes are decided by the network.
func racing(outcome func(ctx context.Context, network string) error) (dial DialFunc, closed *atomic.Int32) {
	closed = new(atomic.Int32)
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		if err := outcome(ctx, network); err != nil {
			return nil, err
		}
		return namedConn{network: network, closed: closed}, nil
	}, closed
}

type namedConn struct {
	net.Conn
	network string
	closed  *atomic.Int32
}

func (c namedConn) Close() error { c.closed.Add(1); return nil }

func TestRaceOfFamilies(t *testing.T) {
	swallowed := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, test := range []struct {
		name       string
		outcome    func(ctx context.Context, network string) error
		preferIPv6 bool
		want       string // network and time
		lost       int32  // connections that came too late
	}{
		{"the faster wins", func(_ context.Context, network string) error {
			time.Sleep(map[string]time.Duration{"tcp4": 30 * time.Millisecond, "tcp6": 20 * time.Millisecond}[network])
			return nil
		}, false, "tcp6 20ms", 1},
		{"one fails", func(_ context.Context, network string) error {
			time.Sleep(10 * time.Millisecond)
			if network == "tcp6" {
				return io.ErrClosedPipe
			}
			return nil
		}, false, "tcp4 10ms", 0},
		{"one is swallowed", func(ctx context.Context, network string) error {
			if network == "tcp4" {
				return swallowed(ctx)
			}
			return nil
		}, false, "tcp6 0s", 0},
		{"IPv6 leads", func(_ context.Context, network string) error {
			time.Sleep(map[string]time.Duration{"tcp4": 0, "tcp6": 150 * time.Millisecond}[network])
			return nil
		}, true, "tcp6 150ms", 0},
		{"IPv6 leads, and is swallowed", func(ctx context.Context, network string) error {
			if network == "tcp6" {
				return swallowed(ctx)
			}
			return nil
		}, true, "tcp4 200ms", 0},
		{"IPv6 leads, and fails", func(_ context.Context, network string) error {
			if network == "tcp6" {
				return io.ErrClosedPipe
			}
			return nil
		}, true, "tcp4 0s", 0},
		{"both fail", func(_ context.Context, network string) error { return fmt.Errorf("%s: %w", network, io.ErrClosedPipe) }, false, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dial, closed := racing(test.outcome)
				cfg, err := Config{DialContext: dial}.AtNode(&derpmap.Node{HostName: "r.example"}, func() bool { return test.preferIPv6 })
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				conn, err := cfg.DialContext(t.Context(), "tcp", "r.example:443")
				if test.want == "" {
					if !errors.Is(err, io.ErrClosedPipe) || !strings.Contains(err.Error(), "tcp4") || !strings.Contains(err.Error(), "tcp6") {
						t.Error(err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := fmt.Sprint(conn.(namedConn).network, " ", time.Since(start)); got != test.want {
					t.Errorf("%s, want %s", got, test.want)
				}
				time.Sleep(time.Second)
				if closed.Load() != test.lost {
					t.Errorf("%d connections were closed, want %d", closed.Load(), test.lost)
				}
			})
		})
	}
}

func TestNodeWithoutAddressesIsRefused(t *testing.T) {
	cfg, err := Config{}.AtNode(&derpmap.Node{HostName: "r.example", IPv4: "none", IPv6: "none"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.DialContext(t.Context(), "tcp", "r.example:443"); !errors.Is(err, errNoFamily) {
		t.Error(err)
	}
}
