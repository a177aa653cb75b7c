package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

const (
	presentPeers = 5000
	presentTail  = 64 // of the last to log in, whom packets have to reach through the sibling
	loginsAtOnce = 32
	presencePace = 2 * time.Millisecond // between two rounds of probes
	presenceLate = time.Minute
)

// presence is what it takes until a relay's sibling knows its peers.
type presence struct {
	Peers      int     `json:"peers"`
	LoginS     float64 `json:"login_s"`              // of all peers together
	KnownMS    float64 `json:"known_ms"`             // from the last login until packets through the sibling reach the last peers
	LiveBytes  float64 `json:"live_bytes_per_peer"`  // that a watcher got while they logged in, TLS included
	FloodMS    float64 `json:"flood_ms"`             // until a watcher that comes later has been told of all
	FloodBytes float64 `json:"flood_bytes_per_peer"` // that it got
}

type presences map[relayKind]*presence

func presenceRows() []row {
	rowOf := func(name, text, unit string, figure func(*presence) float64) row {
		return row{
			name: name, text: fmt.Sprintf(text, presentPeers), unit: unit, mark: mark{none: true}, needs: []string{presenceTold},
			figures: func(r *results) (*float64, *float64) {
				of := func(kind relayKind) *float64 {
					if r.Presence[kind] == nil {
						return nil
					}
					f := figure(r.Presence[kind])
					return &f
				}
				return of(ours), of(derper)
			},
		}
	}
	return []row{
		rowOf("presence-known", "%d logins: time from the last one until a sibling knows them all", "ms", func(p *presence) float64 { return p.KnownMS }),
		rowOf("presence-bytes", "%d logins: bytes to a sibling, for each", "B", func(p *presence) float64 { return p.LiveBytes }),
		rowOf("presence-flood", "a sibling that links anew: time until it knows %d peers", "ms", func(p *presence) float64 { return p.FloodMS }),
		rowOf("presence-flood-bytes", "a sibling that links anew: bytes to it, for each of %d peers", "B", func(p *presence) float64 { return p.FloodBytes }),
	}
}

// presences measures both relays once.
func (s *stage) presences(ctx context.Context) (presences, error) {
	all := presences{}
	for _, kind := range []relayKind{ours, derper} {
		p, err := s.presence(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		talk("  %s: %d logins in %.1f s, known after %.1f ms, flood of %.1f ms\n", kind, p.Peers, p.LoginS, p.KnownMS, p.FloodMS)
		all[kind] = p
	}
	return all, nil
}

func (s *stage) presence(ctx context.Context, kind relayKind) (*presence, error) {
	relays, err := s.startRegion(ctx, kind, 2)
	if err != nil {
		return nil, err
	}
	defer stopAll(relays)
	near, far := relays[0], relays[1]
	if err := s.awaitLink(ctx, far, near); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*presenceLate, fmt.Errorf("not all peers are known within %v", 2*presenceLate))
	defer cancel()
	crowd := &crowd{url: near.url}
	defer crowd.leave()
	live, err := s.watch(ctx, near.url)
	if err != nil {
		return nil, err
	}
	defer live.end()
	began := time.Now()
	if err := crowd.join(ctx, presentPeers); err != nil {
		return nil, err
	}
	last := time.Now()
	p := &presence{Peers: presentPeers, LoginS: last.Sub(began).Seconds()}
	if err := crowd.probe(ctx, far.url); err != nil {
		return nil, err
	}
	p.KnownMS = math.Max(0, float64(crowd.reachedAt.Load()-last.UnixNano())/1e6)
	if _, err := live.hearOf(ctx, crowd); err != nil {
		return nil, err
	}
	p.LiveBytes = float64(live.bytes()) / presentPeers

	flood, err := s.watch(ctx, near.url)
	if err != nil {
		return nil, err
	}
	defer flood.end()
	told, err := flood.hearOf(ctx, crowd)
	if err != nil {
		return nil, err
	}
	p.FloodMS, p.FloodBytes = float64(told.Sub(flood.began).Microseconds())/1e3, float64(flood.bytes())/presentPeers
	return p, nil
}

// crowd is many peers of one relay that note when the first packet reaches them.
type crowd struct {
	url  string
	work sync.WaitGroup

	mu    sync.Mutex
	conns []*client.Conn // in the order of their logins; guarded by mu
	keys  []key.Public   // guarded by mu

	tail      map[key.Public]bool // set once, before the first packet
	reached   atomic.Int64        // how many of the tail a packet has reached
	reachedAt atomic.Int64        // when it reached the last of them, in Unix nanoseconds
}

// join logs n peers in.
func (c *crowd) join(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var logins sync.WaitGroup
	free := make(chan struct{}, loginsAtOnce)
	for range n {
		free <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		logins.Go(func() {
			defer func() { <-free }()
			if err := c.joinOne(ctx); err != nil {
				cancel(err)
			}
		})
	}
	logins.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.tail = map[key.Public]bool{}
	for _, k := range c.keys[max(0, n-presentTail):] {
		c.tail[k] = true
	}
	return nil
}

func (c *crowd) joinOne(ctx context.Context) error {
	secret := key.NewPrivate()
	conn, err := dial(ctx, client.Config{URL: c.url, Key: secret})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns, c.keys = append(c.conns, conn), append(c.keys, secret.Public())
	c.work.Go(func() { c.receive(conn, secret.Public()) })
	return nil
}

// receive waits for the first packet, then goes on reading until the conn ends.
func (c *crowd) receive(conn *client.Conn, self key.Public) {
	buf := make([]byte, 64)
	for first := true; ; {
		m, err := conn.Recv(buf)
		if err != nil {
			return
		}
		if m.Kind == client.MessagePacket && first && c.tail[self] {
			first = false
			c.reachedAt.Store(time.Now().UnixNano())
			c.reached.Add(1)
		}
	}
}

// probe sends packets to the last peers, from a peer of the other relay, until all have got one.
func (c *crowd) probe(ctx context.Context, url string) error {
	conn, err := dial(ctx, client.Config{URL: url, Key: key.NewPrivate()})
	if err != nil {
		return err
	}
	defer conn.Close()
	c.work.Go(func() { c.receive(conn, key.Public{}) })
	tick := time.NewTicker(presencePace)
	defer tick.Stop()
	for c.reached.Load() < int64(len(c.tail)) {
		for k := range c.tail {
			if err := conn.Send(k, []byte("are you there?")); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		conn.Close()
	}
	c.work.Wait()
}

// watcher is a connection with the mesh key that asks for presence and counts what it gets.
type watcher struct {
	*client.Conn
	began  time.Time
	wire   *countingConn
	before int64 // bytes until it asked
	ended  chan struct{}

	mu   sync.Mutex
	told map[key.Public]bool // guarded by mu
	last time.Time           // when it was told of the last one; guarded by mu
	err  error               // why it ended; guarded by mu
}

// watch logs a watcher in that reads until it is closed.
func (s *stage) watch(ctx context.Context, url string) (*watcher, error) {
	w := &watcher{told: map[key.Public]bool{}, ended: make(chan struct{})}
	var err error
	w.Conn, err = dial(ctx, client.Config{URL: url, Key: key.NewPrivate(), MeshKey: s.meshKey,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			w.wire = &countingConn{Conn: conn}
			return w.wire, err
		}})
	if err != nil {
		return nil, err
	}
	w.began, w.before = time.Now(), w.wire.read.Load()
	go w.read()
	if err := w.WatchConns(); err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

func (w *watcher) read() {
	defer close(w.ended)
	buf := make([]byte, derp.MaxPacket)
	for {
		m, err := w.Recv(buf)
		w.mu.Lock()
		if err != nil {
			w.err = err
		} else if m.Kind == client.MessagePeerPresent {
			w.told[m.Peer], w.last = true, time.Now()
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (w *watcher) end() {
	w.Close()
	<-w.ended
}

// hearOf waits until the watcher has been told of every peer of the crowd, and says when it was.
func (w *watcher) hearOf(ctx context.Context, c *crowd) (time.Time, error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		when, err := w.knows(c)
		if err != nil || !when.IsZero() {
			return when, err
		}
		select {
		case <-ctx.Done():
			return when, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// knows returns when the watcher was told of the last of all, zero if it has not been.
func (w *watcher) knows(c *crowd) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return time.Time{}, fmt.Errorf("a watcher was told of %d peers, then its connection ended: %w", len(w.told), w.err)
	}
	if len(w.told) < len(c.keys) {
		return time.Time{}, nil
	}
	for _, k := range c.keys {
		if !w.told[k] {
			return time.Time{}, nil
		}
	}
	return w.last, nil
}

func (w *watcher) bytes() int64 { return w.wire.read.Load() - w.before }

type countingConn struct {
	net.Conn
	read atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// dial logs a peer in to a relay of this run.
func dial(ctx context.Context, config client.Config) (*client.Conn, error) {
	config.InsecureSkipVerify = true // the certificate is of our own making
	conn, err := client.Dial(ctx, config)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := conn.Recv(nil); err != nil { // the first message is that we are admitted
		conn.Close()
		return nil, err
	}
	return conn, nil
}
