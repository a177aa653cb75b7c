package load

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a run that fits a test.
func small(url string) Config {
	return Config{
		Dial: client.Config{URL: url}, Pairs: 2, Size: 300, Rate: 8_000_000,
		Warmup: 50 * time.Millisecond, Duration: 300 * time.Millisecond,
	}
}

func mustRun(t *testing.T, cfg Config) *Report {
	t.Helper()
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p := r.Packets
	if p.Sent == 0 || p.Offered != p.Sent+p.Unsent || p.Sent != p.Delivered+p.Lost {
		t.Errorf("the sums do not hold: %+v", p)
	}
	return r
}

func TestRunThroughAGoodRelay(t *testing.T) {
	for _, pattern := range []Pattern{Pairs, FanIn, FanOut} {
		for _, burst := range []int{1, 16} {
			cfg := small("")
			cfg.Pattern, cfg.Burst, cfg.Pairs = pattern, burst, 3
			_, cfg.Dial.URL = newScripted(t, nil)
			r := mustRun(t, cfg)
			if !sound(r) || r.Packets.Lost != 0 || r.Latency == nil || r.Packets.GoodputMbitPerS == 0 {
				t.Errorf("%s, %d per write: %+v", pattern, burst, r)
			}
			if want := uint64(8_000_000 * 0.3 / 300 / 8); r.Packets.Offered < want*9/10 {
				t.Errorf("%s, %d per write: offered %d packets, want about %d", pattern, burst, r.Packets.Offered, want)
			}
		}
	}
}

func TestRunAsFastAsItGoes(t *testing.T) {
	cfg := small("")
	cfg.Rate = 0
	_, cfg.Dial.URL = newScripted(t, nil)
	r := mustRun(t, cfg)
	if !sound(r) || r.PacketsAWrite != floodBurst || r.Packets.Offered != r.Packets.Sent {
		t.Errorf("%+v", r)
	}
}

func TestLossIsCountedAndNoFault(t *testing.T) {
	cfg := small("")
	_, cfg.Dial.URL = newScripted(t, drops)
	r := mustRun(t, cfg)
	if !sound(r) {
		t.Errorf("loss counts as a fault: %+v", r.Broken)
	}
	if lost := float64(r.Packets.Lost) / float64(r.Packets.Sent); lost < 0.08 || lost > 0.12 {
		t.Errorf("%.3f of the packets are lost, want every tenth", lost)
	}
}

func TestFaultsAreFound(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil mischief
		want  Fault
	}{
		{"repeated", repeats, Repeated},
		{"swapped", swaps(), Backwards},
		{"corrupted", corrupts, WrongContent},
		{"shortened", shortens, WrongLength},
		{"mislabelled", mislabels, WrongSource},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := small("")
			_, cfg.Dial.URL = newScripted(t, test.spoil)
			r := mustRun(t, cfg)
			b := r.Broken
			if sound(r) || b.Frames == 0 || b.Frames != b.Kinds[test.want.String()] {
				t.Errorf("found %+v, want only %q", b, test.want)
			}
			if b.Streams != 2 || !strings.HasPrefix(b.Example, test.want.String()+": from ") {
				t.Errorf("%d broken streams, example %q", b.Streams, b.Example)
			}
			// A frame that is not as it was sent is missing too; the others were
			// only where they must not be.
			whole := test.want == Repeated
			if whole && r.Packets.Lost != 0 || !whole && r.Packets.Lost == 0 {
				t.Errorf("%d packets lost", r.Packets.Lost)
			}
		})
	}
}

func TestAConnectionThatEndsIsNoLoss(t *testing.T) {
	cfg := small("")
	var relay *scripted
	relay, cfg.Dial.URL = newScripted(t, nil)
	cfg.Beside = func(context.Context) error {
		relay.mu.Lock()
		defer relay.mu.Unlock()
		for conn := range relay.open {
			conn.Close()
			return nil
		}
		return errors.New("no connection is open")
	}
	r := mustRun(t, cfg)
	if sound(r) || r.Lost.Count == 0 || r.Lost.Example == "" {
		t.Errorf("%+v", r.Lost)
	}
}

func TestIdlePeersStay(t *testing.T) {
	cfg := small("")
	relay, url := newScripted(t, nil)
	cfg.Dial.URL, cfg.Idle, cfg.Pairs = url, 40, 1
	cfg.Beside = func(context.Context) error {
		relay.mu.Lock()
		defer relay.mu.Unlock()
		if len(relay.peers) != 42 {
			t.Errorf("%d peers are logged in during the load, want 42", len(relay.peers))
		}
		return nil
	}
	r := mustRun(t, cfg)
	if !sound(r) || r.Idle == nil || r.Idle.Peers != 40 {
		t.Errorf("%+v", r)
	}
}

func TestOnlyIdlePeers(t *testing.T) {
	_, url := newScripted(t, nil)
	r, err := Run(t.Context(), Config{Dial: client.Config{URL: url}, Idle: 5})
	if err != nil || r.Idle.Peers != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Connections that a proxy cuts while nothing is sent are found by holding them.
func TestHeldIdlePeersThatAreCutAreLost(t *testing.T) {
	relay, url := newScripted(t, nil)
	var once sync.Once
	cut := func(p Progress) {
		if p.Stage != "holding" {
			return
		}
		once.Do(func() {
			relay.mu.Lock()
			defer relay.mu.Unlock()
			for conn := range relay.open {
				conn.Close()
			}
		})
	}
	r, err := Run(t.Context(), Config{Dial: client.Config{URL: url}, Idle: 3, Duration: 2 * time.Second, Progress: cut})
	if err != nil || r.Lost.Count != 3 || r.Idle.HeldSeconds < 2 {
		t.Errorf("%+v, %v; want 3 lost connections", r, err)
	}
}

func TestTheStalledPairIsNotCounted(t *testing.T) {
	cfg := small("")
	cfg.Stall = true
	_, cfg.Dial.URL = newScripted(t, nil)
	r := mustRun(t, cfg)
	if !sound(r) || r.Packets.Lost != 0 || r.Stall == nil || r.Stall.Sent == 0 {
		t.Errorf("%+v, stall %+v", r, r.Stall)
	}
}

func TestRunThatCannotStart(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	url := deaf(t, func() { cancel(errors.New("enough")) })
	if _, err := Run(ctx, small(url)); !errors.Is(err, ErrNothingArrives) {
		t.Errorf("a relay that delivers nothing: %v", err)
	}

	gone, url := newScripted(t, nil)
	gone.close()
	var login *LoginError
	if _, err := Run(t.Context(), small(url)); !errors.As(err, &login) {
		t.Errorf("a relay that is gone: %v", err)
	}
}

func TestConfigsThatCannotRun(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"nothing to do":  func(c *Config) { c.Pairs = 0 },
		"pattern":        func(c *Config) { c.Pattern = "ring" },
		"small packets":  func(c *Config) { c.Size = MinSize - 1 },
		"big packets":    func(c *Config) { c.Size = MaxSize + 1 },
		"negative rate":  func(c *Config) { c.Rate = -1 },
		"negative burst": func(c *Config) { c.Burst = -1 },
		"no duration":    func(c *Config) { c.Duration = 0 },
		"negative wait":  func(c *Config) { c.Settle = -1 },
		"no process":     func(c *Config) { c.PID = 1 << 30 },
		"many pairs":     func(c *Config) { c.Pairs = mostPeers },
		"many idlers":    func(c *Config) { c.Idle = mostPeers + 1 },
	} {
		cfg := small("http://127.0.0.1:1/derp")
		spoil(&cfg)
		var login *LoginError
		if _, err := Run(t.Context(), cfg); err == nil || errors.As(err, &login) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sound reports whether every stream was whole and every connection stayed.
func sound(r *Report) bool { return r.Broken.Frames == 0 && r.Lost.Count == 0 }
