package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derp"
)

// EchoConfig asks for round trips: A -> relay -> B -> relay -> A, or with a second
// relay A -> relay -> sibling -> B -> sibling -> relay -> A.
type EchoConfig struct {
	Dial     client.Config // the relay and how to trust it; both peers get keys of their own
	Far      client.Config // B's relay, if its URL is set
	Count    int           // packets to send; 0: until ctx ends
	Interval time.Duration
	Size     int           // bytes of one packet
	Timeout  time.Duration // a packet that is not back after so long is told as lost

	// Ready, if set, is called with both peers' connections once they reach each
	// other.
	Ready func(near, far *client.Conn)
	// Each, if set, hears of every packet that came back or is lost, from one
	// goroutine.
	Each func(Reply)
}

// Reply is what became of one packet. Packets are numbered from 1.
type Reply struct {
	Seq  uint64
	Took time.Duration
	Lost bool // a later one is back, or the timeout is over; in the second case it may come still
}

// EchoReport sums up the round trips. Its JSON form is stable: fields are added,
// never renamed.
type EchoReport struct {
	URL         string     `json:"url"`
	FarURL      string     `json:"far_url,omitempty"`
	SizeBytes   int        `json:"size_bytes"`
	Sent        uint64     `json:"sent"`
	Received    uint64     `json:"received"`
	LossPercent float64    `json:"loss_percent"`
	Broken      Broken     `json:"broken"`
	RoundTrip   *RoundTrip `json:"round_trip,omitempty"`
}

// RoundTrip is in microseconds, of the packets that came back.
type RoundTrip struct {
	Min  float64 `json:"min_us"`
	Mean float64 `json:"avg_us"`
	P50  float64 `json:"p50_us"`
	P90  float64 `json:"p90_us"`
	P99  float64 `json:"p99_us"`
	Max  float64 `json:"max_us"`
}

// echo is one series of round trips. Its fields belong to the goroutine of Echo,
// except the checkers.
type echo struct {
	cfg     EchoConfig
	clock   clock
	a, b    *peer
	atA     checker // owned by listen
	atB     checker // owned by answer
	replies chan Reply
	ended   chan error    // why a connection ended
	over    chan struct{} // closed when replies are no longer wanted

	fill     text
	packet   []byte
	waiting  []int64 // when the packets that were neither answered nor told as lost were sent, in order
	told     uint64  // packets up to this number were answered or told as lost
	probes   uint64  // sent before the first packet that counts; replies are numbered after them
	sent     uint64
	received uint64
	trips    *hdrhistogram.Histogram
}

// Echo measures round trips through the relay until Count packets are sent or ctx
// ends. It returns an error if the peers could not log in or a connection ended;
// lost packets stand in the report.
func Echo(ctx context.Context, cfg EchoConfig) (*EchoReport, error) {
	if cfg.Size < MinSize || cfg.Size > MaxSize {
		return nil, fmt.Errorf("packets of %d bytes: want %d to %d", cfg.Size, MinSize, MaxSize)
	}
	peers, err := cfg.login(ctx)
	if err != nil {
		return nil, err
	}
	e := newEcho(cfg, peers[0], peers[1])
	var work sync.WaitGroup
	work.Go(func() { e.ended <- e.listen() })
	work.Go(func() { e.ended <- e.answer() })
	if err = e.meet(ctx); err == nil {
		if cfg.Ready != nil {
			cfg.Ready(e.a.conn, e.b.conn)
		}
		err = e.trip(ctx)
	}
	close(e.over)
	closeAll(peers)
	work.Wait()
	if err != nil {
		return nil, err
	}
	return e.report(), nil
}

// login logs A and B in.
func (c EchoConfig) login(ctx context.Context) ([]*peer, error) {
	if c.Far.URL == "" {
		return loginAll(ctx, c.Dial, 2, func(int) {})
	}
	a, err := loginAll(ctx, c.Dial, 1, func(int) {})
	if err != nil {
		return nil, err
	}
	b, err := loginAll(ctx, c.Far, 1, func(int) {})
	if err != nil {
		closeAll(a)
		return nil, err
	}
	return append(a, b...), nil
}

func newEcho(cfg EchoConfig, a, b *peer) *echo {
	fill := newText(cfg.Size)
	check := func(from, to *peer) checker {
		streams := []*stream{newStream(0, from.public, to.public)}
		return checker{text: fill, size: cfg.Size, to: to.public, streams: streams, broken: map[uint32]bool{}}
	}
	return &echo{
		cfg: cfg, clock: clock{time.Now()}, a: a, b: b, atA: check(b, a), atB: check(a, b),
		replies: make(chan Reply, 1024), ended: make(chan error, 2), over: make(chan struct{}),
		fill: fill, packet: make([]byte, cfg.Size), trips: newHistogram(),
	}
}

// meet sends probes until one is back, where two relays first have to tell each
// other of the peers.
func (e *echo) meet(ctx context.Context) error {
	if e.cfg.Far.URL == "" {
		return nil
	}
	late := time.NewTimer(helloTimeout)
	defer late.Stop()
	retry := time.NewTicker(helloRetry)
	defer retry.Stop()
	for {
		e.probes++
		e.fill.write(e.packet, stamp{seq: e.probes, sentAt: e.clock.now()})
		if err := e.a.conn.Send(e.b.public, e.packet); err != nil {
			return fmt.Errorf("a probe could not be sent: %w", err)
		}
		select {
		case <-e.replies:
			return nil
		case <-retry.C:
		case err := <-e.ended:
			return fmt.Errorf("before a probe came back a connection ended: %w", err)
		case <-late.C:
			return nothingArrives(e.cfg.Far, fmt.Errorf("no probe came back within %v", helloTimeout))
		case <-ctx.Done():
			return nothingArrives(e.cfg.Far, context.Cause(ctx))
		}
	}
}

// answer sends back what B gets from A.
func (e *echo) answer() error {
	buf := make([]byte, derp.MaxPacket)
	for {
		m, err := e.b.conn.Recv(buf)
		if err != nil {
			return err
		}
		if m.Kind != client.MessagePacket {
			continue
		}
		if one, _ := e.atB.take(m.Peer, m.Packet); one == nil {
			continue // not worth an echo; the report tells
		}
		if err := e.b.conn.Send(e.a.public, m.Packet); err != nil {
			return err
		}
	}
}

// listen takes what comes back to A.
func (e *echo) listen() error {
	buf := make([]byte, derp.MaxPacket)
	for {
		m, err := e.a.conn.Recv(buf)
		if err != nil {
			return err
		}
		if m.Kind != client.MessagePacket {
			continue
		}
		now := e.clock.now()
		if one, said := e.atA.take(m.Peer, m.Packet); one != nil {
			select {
			case e.replies <- Reply{Seq: said.seq, Took: time.Duration(now - said.sentAt)}:
			case <-e.over:
			}
		}
	}
}

// trip sends packets and follows what becomes of them until all have come back or
// the timeout is over.
func (e *echo) trip(ctx context.Context) error {
	tick := time.NewTicker(e.cfg.Interval)
	defer tick.Stop()
	if err := e.send(); err != nil {
		return err
	}
	done := ctx.Done()
	for sending := true; ; {
		sending = sending && done != nil && (e.cfg.Count == 0 || e.sent < uint64(e.cfg.Count))
		if !sending && len(e.waiting) == 0 {
			return nil
		}
		select {
		case <-done:
			done = nil // no more is sent; what is under way is still waited for
		case reply := <-e.replies:
			e.book(reply)
		case err := <-e.ended:
			return fmt.Errorf("after %d packets a connection ended: %w", e.sent, err)
		case <-tick.C:
			e.giveUp()
			if !sending {
				continue
			}
			if err := e.send(); err != nil {
				return err
			}
		}
	}
}

func (e *echo) send() error {
	e.sent++
	now := e.clock.now()
	e.waiting = append(e.waiting, now)
	e.fill.write(e.packet, stamp{seq: e.probes + e.sent, sentAt: now})
	if err := e.a.conn.Send(e.b.public, e.packet); err != nil {
		return fmt.Errorf("packet %d could not be sent: %w", e.sent, err)
	}
	return nil
}

// book notes a packet that came back. Streams keep their order, so those before it
// that did not are lost.
func (e *echo) book(reply Reply) {
	if reply.Seq <= e.probes {
		return
	}
	reply.Seq -= e.probes
	e.received++
	e.trips.RecordValue(min(max(int64(reply.Took), shortestLatency), longestLatency)) // within the range
	for e.told+1 < reply.Seq {
		e.tellLost()
	}
	if reply.Seq > e.told {
		e.told++
		e.waiting = e.waiting[1:]
	}
	e.tell(reply)
}

// giveUp tells the packets as lost for which the timeout is over.
func (e *echo) giveUp() {
	for len(e.waiting) > 0 && e.clock.now()-e.waiting[0] > int64(e.cfg.Timeout) {
		e.tellLost()
	}
}

func (e *echo) tellLost() {
	e.told++
	e.waiting = e.waiting[1:]
	e.tell(Reply{Seq: e.told, Lost: true})
}

func (e *echo) tell(reply Reply) {
	if e.cfg.Each != nil {
		e.cfg.Each(reply)
	}
}

// report sums up, once both connections are closed.
func (e *echo) report() *EchoReport {
	r := &EchoReport{URL: e.cfg.Dial.URL, FarURL: e.cfg.Far.URL, SizeBytes: e.cfg.Size, Sent: e.sent, Received: e.received}
	r.LossPercent = 100 * float64(r.Sent-r.Received) / float64(r.Sent)
	r.Broken.add(&e.atB)
	r.Broken.add(&e.atA)
	if e.received > 0 {
		us := func(v int64) float64 { return float64(v) / 1e3 }
		r.RoundTrip = &RoundTrip{
			Min: us(e.trips.Min()), Mean: e.trips.Mean() / 1e3, P50: us(e.trips.ValueAtQuantile(50)),
			P90: us(e.trips.ValueAtQuantile(90)), P99: us(e.trips.ValueAtQuantile(99)), Max: us(e.trips.Max()),
		}
	}
	return r
}
