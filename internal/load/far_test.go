package load

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
)

// newRegion starts two scripted relays that know the same peers, as if they were
// meshed.
func newRegion(t *testing.T) (near, far *scripted, nearURL, farURL string) {
	near, nearURL = newScripted(t, nil)
	far, farURL = newScripted(t, nil)
	near.sibling, far.sibling = far, near
	return near, far, nearURL, farURL
}

func TestRunAcrossTwoRelays(t *testing.T) {
	for _, pattern := range []Pattern{Pairs, FanIn, FanOut} {
		cfg := small("")
		near, far, nearURL, farURL := newRegion(t)
		cfg.Dial.URL, cfg.Far.URL, cfg.Pattern, cfg.Pairs, cfg.Stall = nearURL, farURL, pattern, 3, true
		senders, receivers := cast(cfg)
		cfg.Beside = func(context.Context) error {
			if a, b := near.count(), far.count(); a != senders || b != receivers {
				t.Errorf("%s: %d peers at one relay and %d at the other, want %d and %d", pattern, a, b, senders, receivers)
			}
			return nil
		}
		r := mustRun(t, cfg)
		if !sound(r) || r.Packets.Lost != 0 || r.FarURL != farURL || r.Stall == nil || r.Stall.Sent == 0 {
			t.Errorf("%s: %+v", pattern, r)
		}
	}
}

func TestEchoAcrossTwoRelays(t *testing.T) {
	near, far, nearURL, farURL := newRegion(t)
	near.sibling = nil // the relays are not linked yet
	cfg := smallEcho(nearURL)
	cfg.Far.URL = farURL
	linked := time.AfterFunc(3*helloRetry, func() {
		near.mu.Lock()
		defer near.mu.Unlock()
		near.sibling = far
	})
	defer linked.Stop()
	cfg.Ready = func(a, b *client.Conn) {
		if a.RemoteAddr().String() != near.listener.Addr().String() {
			t.Errorf("the first peer is at %v", a.RemoteAddr())
		}
		if b.RemoteAddr().String() != far.listener.Addr().String() {
			t.Errorf("the second peer is at %v", b.RemoteAddr())
		}
	}
	var first uint64
	cfg.Each = func(r Reply) {
		if first == 0 {
			first = r.Seq
		}
	}
	r, err := Echo(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent != 60 || r.Received != 60 || first != 1 || r.Broken.Frames != 0 || r.FarURL != farURL {
		t.Errorf("replies from %d on, %+v", first, r)
	}
}

func TestRelaysThatAreNotMeshed(t *testing.T) {
	_, farURL := newScripted(t, nil)
	near := func() (url string, enough context.Context) {
		enough, cancel := context.WithCancel(t.Context())
		url = deaf(t, cancel)
		return url, enough
	}
	nearURL, enough := near()
	run := small(nearURL)
	run.Far.URL = farURL
	if _, err := Run(enough, run); !errors.Is(err, ErrNotMeshed) {
		t.Errorf("a load across them: %v", err)
	}
	nearURL, enough = near()
	echo := smallEcho(nearURL)
	echo.Far.URL = farURL
	if _, err := Echo(enough, echo); !errors.Is(err, ErrNotMeshed) {
		t.Errorf("round trips across them: %v", err)
	}
}

func TestTheFarRelayIsGone(t *testing.T) {
	_, far, nearURL, farURL := newRegion(t)
	far.close()
	var login *LoginError
	run := small(nearURL)
	run.Far.URL = farURL
	if _, err := Run(t.Context(), run); !errors.As(err, &login) {
		t.Errorf("a load: %v", err)
	}
	echo := smallEcho(nearURL)
	echo.Far.URL = farURL
	if _, err := Echo(t.Context(), echo); !errors.As(err, &login) {
		t.Errorf("round trips: %v", err)
	}
}
