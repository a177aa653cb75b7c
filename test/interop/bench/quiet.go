package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/load"
)

// quietPair is a pair of peers in this process, which has little else to do meanwhile: a packet there and back every few milliseconds.
type quietPair struct {
	stop  context.CancelFunc
	over  chan error // why it ended
	ended func() error

	mu     sync.Mutex
	tookMS []float64 // guarded by mu
	lost   int       // guarded by mu
}

const (
	quietEvery   = 5 * time.Millisecond
	quietSize    = 64              // bytes
	quietTimeout = 5 * time.Second // then a packet is lost
)

// startQuiet returns when packets go to and fro.
func startQuiet(ctx context.Context, r *relay) (*quietPair, error) {
	ctx, stop := context.WithCancel(ctx)
	q := &quietPair{stop: stop, over: make(chan error, 1)}
	q.ended = sync.OnceValue(func() error { return <-q.over })
	ready := make(chan struct{})
	go func() {
		report, err := load.Echo(ctx, load.EchoConfig{
			Dial: client.Config{URL: r.url, InsecureSkipVerify: true}, Interval: quietEvery, Size: quietSize, Timeout: quietTimeout,
			Ready: func(_, _ *client.Conn) { close(ready) }, Each: q.book,
		})
		if err == nil && report.Broken.Frames > 0 {
			err = fmt.Errorf("%d frames were not what was sent: %s", report.Broken.Frames, report.Broken.Example)
		}
		q.over <- err
	}()
	select {
	case <-ready:
		return q, nil
	case err := <-q.over:
		stop()
		return nil, err
	}
}

func (q *quietPair) book(r load.Reply) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.Lost {
		q.lost++
		return
	}
	q.tookMS = append(q.tookMS, float64(r.Took.Microseconds())/1e3)
}

// forget has the figures begin now.
func (q *quietPair) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tookMS, q.lost = nil, 0
}

// end ends the pair and says what went wrong.
func (q *quietPair) end() error {
	q.stop()
	return q.ended()
}

// finish ends the pair and adds what it has seen.
func (q *quietPair) finish(f figures) error {
	if err := q.end(); err != nil {
		return fmt.Errorf("the quiet pair: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	slices.Sort(q.tookMS)
	if all := len(q.tookMS) + q.lost; all > 0 {
		f[lostShare] = 100 * float64(q.lost) / float64(all)
	}
	if len(q.tookMS) > 0 {
		f[p50MS], f[p99MS] = *quantile(q.tookMS, 0.5), *quantile(q.tookMS, 0.99)
	}
	return nil
}
