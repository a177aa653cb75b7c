package control

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/detour-relay/detour/relay"
)

// watched is a handler over a crowd that has one packet more of each whenever it is
// looked at.
func watched(n int) *Handler {
	c := &crowd{all: manyPeers(n)}
	var mu sync.Mutex
	looks := uint64(0)
	return New(Config{Peers: c, Watching: NewWatching(Watching{
		Version: "v1", PID: 7,
		Peers: func(yield func(relay.PeerState) bool) {
			mu.Lock()
			looks++
			mu.Unlock()
			for p := range c.Peers {
				if p.Received += looks * 1000 * p.ID; !yield(p) {
					return
				}
			}
		},
		Counters: func() relay.Counters {
			mu.Lock()
			defer mu.Unlock()
			return relay.Counters{
				Conns: int64(n), Peers: int64(n), Received: relay.ByKind{Other: relay.Traffic{Packets: looks, Bytes: looks * 100}},
				Dropped: map[string]relay.ByKind{"outbox_full": {Other: relay.Traffic{Packets: looks}}, "unknown": {}},
			}
		},
	})})
}

var errEnough = errors.New("enough")

// Samples come one after the other, with the busiest first and no more of them than asked.
func TestTopSendsTheBusiest(t *testing.T) {
	c := at(t, watched(9))
	n := 0
	err := c.Top(t.Context(), url.Values{"limit": {"3"}, "every": {"500ms"}}, func(s *Sample) error {
		if n++; s.OverMS <= 0 || s.Version != "v1" || s.PID != 7 || s.Conns != 9 || s.Matched != 9 || s.Queued != 9 || len(s.Busiest) != 3 {
			return fmt.Errorf("%+v", s)
		}
		for i, p := range s.Busiest {
			if p.ID != uint64(9-i) || p.InRate <= 0 || p.OutRate != 0 {
				return fmt.Errorf("place %d has %d with %v", i, p.ID, p.InRate)
			}
		}
		if s.In.Packets <= 0 || s.In.Bytes <= s.In.Packets || len(s.Dropped) != 1 || s.Dropped["outbox_full"].Packets <= 0 {
			return fmt.Errorf("%+v", s)
		}
		if n == 2 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

// What cannot be asked is refused, and no more than a few may watch.
func TestTopIsBounded(t *testing.T) {
	h := watched(1)
	c := at(t, h)
	for _, q := range []url.Values{{"every": {"1ms"}}, {"every": {"2m"}}, {"every": {"x"}}, {"sort": {"x"}}, {"limit": {"0"}}} {
		wantError(t, c.Top(t.Context(), q, nil), http.StatusBadRequest, "")
	}
	for range mostWatching {
		h.config.Watching.places <- struct{}{}
	}
	wantError(t, c.Top(t.Context(), nil, nil), http.StatusServiceUnavailable, "8 are watching already: try again")
	<-h.config.Watching.places
	if err := c.Top(t.Context(), nil, func(*Sample) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

// A server that ends does not wait for who watches, who is told.
func TestTopEndsWithTheServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), SocketName)
	listener, err := ListenSocket(path, false)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(listener, nil, watched(1), nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c := OverSocket(path)
	defer c.Close()
	closed := make(chan error, 1)
	err = c.Top(t.Context(), nil, func(*Sample) error {
		go func() { closed <- s.Close() }()
		return nil
	})
	if !errors.Is(err, ErrUnanswered) {
		t.Errorf("who watches is told %v", err)
	}
	if err := errors.Join(<-closed, <-served); err != nil {
		t.Error(err)
	}
}
