package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// traffic is pairs of our clients that are spread over a region and send numbered packets, each to the other end of its
// pair. A packet counts once, whenever it arrives: while a peer moves, packets may overtake each other or come twice.
type traffic struct {
	pairs   []*pair
	sending sync.WaitGroup
	taking  sync.WaitGroup
	over    chan struct{} // closed when no more is to be sent
}

// trafficConfig says who sends how much.
type trafficConfig struct {
	urls     []string // of the region's relays, as clients reach them
	homes    [][2]int // of each pair, as places in urls
	perS     float64  // packets that each sends
	backPerS float64  // packets that each receiver sends to its sender, which nobody counts
}

// startTraffic logs all pairs in and has them send.
func startTraffic(ctx context.Context, config trafficConfig) (*traffic, error) {
	t := &traffic{over: make(chan struct{})}
	for _, h := range config.homes {
		p := &pair{homes: h}
		from, to := key.NewPrivate(), key.NewPrivate()
		p.src, p.dst = from.Public(), to.Public()
		t.pairs = append(t.pairs, p)
		var err error
		if p.to, err = regionPeer(config.urls, p.homes[1], to); err == nil {
			p.from, err = regionPeer(config.urls, p.homes[0], from)
		}
		if err != nil {
			t.end()
			return nil, err
		}
		t.taking.Go(p.take)
		t.taking.Go(func() { drain(p.from) })
	}
	for _, p := range t.pairs {
		if err := p.begin(ctx); err != nil {
			t.end()
			return nil, err
		}
	}
	for _, p := range t.pairs {
		t.sending.Go(func() { pace(t.over, config.perS, p.send) })
		t.sending.Go(func() { pace(t.over, config.backPerS, p.sendBack) })
	}
	return t, nil
}

// everyWay spreads pairs over n relays: pair i sends from relay i % n and receives at relay i / n % n, so that n * n of them use every
// way there is.
func everyWay(pairs, n int) (homes [][2]int) {
	for i := range pairs {
		homes = append(homes, [2]int{i % n, i / n % n})
	}
	return homes
}

// regionPeer is a client whose first choice is the given relay and whose next ones follow it in a circle.
func regionPeer(urls []string, home int, secret key.Private) (*client.Region, error) {
	config := client.RegionConfig{}
	for i := range urls {
		at := (home + i) % len(urls)
		config.Nodes = append(config.Nodes, client.RelayConfig{Name: fmt.Sprint("relay ", at), Config: client.Config{
			URL: urls[at], Key: secret, InsecureSkipVerify: true, RecordPerPacket: true,
		}})
	}
	return client.NewRegion(config)
}

func drain(r *client.Region) {
	buf := make([]byte, derp.MaxPacket)
	for {
		if _, err := r.Recv(buf); err != nil {
			return
		}
	}
}

// stop ends the sending and waits a while for what is under way.
func (t *traffic) stop(patience time.Duration) {
	close(t.over)
	t.sending.Wait()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline) && t.lost() > 0; time.Sleep(10 * time.Millisecond) {
	}
}

func (t *traffic) lost() (n int64) {
	for _, p := range t.pairs {
		p.mu.Lock()
		n += p.sent.Load() - p.got
		p.mu.Unlock()
	}
	return n
}

// forgetGaps makes gaps begin now.
func (t *traffic) forgetGaps() {
	for _, p := range t.pairs {
		p.longestGap()
	}
}

// gapsMS are the longest times without an arrival since gaps began, in milliseconds, of those pairs that count.
func (t *traffic) gapsMS(counts func(*pair) bool) (all []float64) {
	for _, p := range t.pairs {
		if counts(p) {
			all = append(all, float64(p.longestGap().Microseconds())/1e3)
		}
	}
	return all
}

// awaitArrivals waits for a while, and then until each pair has had another arrival, or until it is late.
func (t *traffic) awaitArrivals(after, late time.Duration) {
	time.Sleep(after)
	since := time.Now()
	for time.Since(since) < late && slices.ContainsFunc(t.pairs, func(p *pair) bool { return !p.arrivedSince(since) }) {
		time.Sleep(time.Millisecond)
	}
}

// checkMoved fails if a client is still connected to its first choice.
func (t *traffic) checkMoved() error {
	for _, p := range t.pairs {
		for _, r := range []*client.Region{p.from, p.to} {
			if s := r.State(); s.Connected && s.Node == 0 {
				return fmt.Errorf("a client is still at %s", s.Name)
			}
		}
	}
	return nil
}

// end closes all clients.
func (t *traffic) end() {
	for _, p := range t.pairs {
		for _, r := range []*client.Region{p.from, p.to} {
			if r != nil {
				r.Close()
			}
		}
	}
	t.taking.Wait()
}
