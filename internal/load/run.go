package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/client"
)

const (
	helloTimeout  = 15 * time.Second // until one packet has come through every stream
	helloRetry    = 100 * time.Millisecond
	progressEvery = 500 * time.Millisecond
	drainQuiet    = 300 * time.Millisecond // nothing arrived for so long: what is missing is lost
	longestDrain  = 10 * time.Second
)

// ErrNothingArrives says that peers are logged in, but that not even single packets
// come through the relay.
var ErrNothingArrives = errors.New("the relay does not pass packets on")

// ErrNotMeshed says that not even single packets come from peers of one relay to
// peers of the other.
var ErrNotMeshed = errors.New("the two relays do not pass packets to each other: are they meshed?")

// nothingArrives explains why no packet came, which depends on whether a second
// relay has a part in it.
func nothingArrives(far client.Config, why error) error {
	if far.URL != "" {
		return fmt.Errorf("%w: %w", why, ErrNotMeshed)
	}
	return fmt.Errorf("%w: %w", ErrNothingArrives, why)
}

// run is one run in progress.
type run struct {
	cfg     Config
	stage   stage
	streams []*stream // of the healthy pairs, by id
	stalled *stream

	idlers    []*peer
	from, to  []*peer // of the streams; the stalled pair comes last
	senders   []*sender
	receivers []*receiver
	staller   *sender // of the stalled pair

	sending   sync.WaitGroup
	receiving sync.WaitGroup
	closing   atomic.Bool // the run ends its connections itself from now on

	mu    sync.Mutex
	gone  map[*client.Conn]bool // those that ended too early; guarded by mu
	ended Ended                 // guarded by mu

	report Report
}

// Run loads the relay as cfg says. It returns an error if the run could not be
// made; whether the relay did well stands in the report. A run cut short by ctx
// reports on the window up to then.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := watch(cfg.PID); err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, stage: stage{clock: clock{time.Now()}}, gone: map[*client.Conn]bool{}}
	r.report = Report{
		URL: cfg.Dial.URL, FarURL: cfg.Far.URL, Pattern: cfg.Pattern, Pairs: cfg.Pairs, SizeBytes: cfg.Size,
		PacketsAWrite: cfg.Burst, RateBitPerS: cfg.Rate,
	}
	defer r.hangUp()
	if err := r.idle(ctx); err != nil {
		return nil, err
	}
	work := r.hold
	if cfg.Pairs > 0 {
		work = r.traffic
	}
	if err := work(ctx); err != nil {
		return nil, err
	}
	r.hangUp()
	r.report.Lost = r.ended
	return &r.report, nil
}

// traffic takes the streams from login to the last packet's arrival.
func (r *run) traffic(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	if err := r.hello(ctx); err != nil {
		return err
	}
	r.send()
	r.sleep(ctx, "warm-up", r.cfg.Warmup, nil)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.measure(ctx); err != nil {
		return err
	}
	r.drain()
	r.hangUp()
	r.tally()
	return nil
}

// connect logs in the peers of all streams and starts to receive.
func (r *run) connect(ctx context.Context) error {
	var err error
	senders, receivers := cast(r.cfg)
	progress := func(before int) func(int) {
		return func(done int) {
			r.tell(Progress{Stage: "peers", Done: before + done, Total: senders + receivers})
		}
	}
	far := r.cfg.Dial
	if r.cfg.Far.URL != "" {
		far = r.cfg.Far
	}
	if r.to, err = loginAll(ctx, far, receivers, progress(0)); err != nil {
		return err
	}
	if r.from, err = loginAll(ctx, r.cfg.Dial, senders, progress(receivers)); err != nil {
		return err
	}
	r.layOut()
	for _, recv := range r.receivers {
		r.receiving.Go(func() { r.lost("receiver", recv.conn, recv.run()) })
	}
	for _, s := range append(r.senders[:len(r.senders):len(r.senders)], r.stallers()...) {
		r.receiving.Go(func() { r.lost("sender", s.conn, keep(s.conn)) })
	}
	return nil
}

// hello waits until every healthy stream has carried a packet, for which the relays
// of a region first have to tell each other of the peers.
func (r *run) hello(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, helloTimeout, fmt.Errorf("nothing within %v", helloTimeout))
	defer cancel()
	errs := make(chan error, len(r.senders))
	for _, s := range r.senders {
		r.sending.Go(func() { errs <- s.hello(ctx) })
	}
	r.sending.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return nothingArrives(r.cfg.Far, err)
		}
	}
	return nil
}

// send starts all senders.
func (r *run) send() {
	for _, s := range r.senders {
		r.sending.Go(func() { r.lost("sender", s.conn, s.run()) })
	}
	for _, s := range r.stallers() {
		// Not waited for with the others: its connection may be full for good,
		// until hangUp closes it.
		r.receiving.Go(func() { r.lost("sender", s.conn, s.run()) })
	}
}

// lost books a connection that ended although the run had not.
func (r *run) lost(what string, conn *client.Conn, err error) {
	if err == nil || r.closing.Load() {
		return
	}
	conn.Close() // it has failed already
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone[conn] {
		return // told by its reader and its writer
	}
	r.gone[conn] = true
	r.ended.Count++
	if r.ended.Example == "" {
		r.ended.Example = fmt.Sprintf("a %s's connection ended after %.1f s: %v",
			what, time.Since(r.stage.clock.began).Seconds(), err)
	}
}

// measure opens the window, watches over it and closes it.
func (r *run) measure(ctx context.Context) error {
	relay, err := watch(r.cfg.PID)
	if err != nil {
		return err
	}
	self, _ := watch(os.Getpid()) // where there is no /proc, the figures about ourselves are left out
	beside := r.startBeside(ctx)

	arrived := r.arrived()
	start := r.stage.clock.now()
	r.stage.windowStart.Store(start)
	r.stage.phase.Store(int32(measuring))
	r.sleep(ctx, "measuring", r.cfg.Duration, func() { relay.look(); self.look() })
	besideErr := <-beside
	end := r.stage.clock.now()
	r.stage.windowEnd.Store(end)
	r.stage.phase.Store(int32(stopped))
	r.report.Packets.Arrived = r.arrived() - arrived

	r.report.Seconds = float64(end-start) / 1e9
	r.report.Relay = relay.finish(r.report.Packets.Arrived)
	r.report.Self = self.finish(r.report.Packets.Arrived)
	return besideErr
}

func (r *run) startBeside(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	if r.cfg.Beside == nil {
		done <- nil
		return done
	}
	go func() { done <- r.cfg.Beside(ctx) }()
	return done
}

// arrived is how many packets have come in so far.
func (r *run) arrived() (n uint64) {
	for _, s := range r.streams {
		n += s.arrived.Load()
	}
	return n
}

// sleep waits for d or for the end of ctx, telling how fast packets arrive; each is
// called as often.
func (r *run) sleep(ctx context.Context, name string, d time.Duration, each func()) {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	began, last, before := time.Now(), time.Now(), r.arrived()
	for {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case now := <-tick.C:
			count := r.arrived()
			bits := float64(count-before) * float64(r.cfg.Size) * 8
			r.tell(Progress{Stage: name, Left: d - now.Sub(began), MbitPerS: bits / 1e6 / now.Sub(last).Seconds()})
			last, before = now, count
			if each != nil {
				each()
			}
		}
	}
}

// drain waits for the senders' last writes and for what is still under way.
func (r *run) drain() {
	sent := make(chan struct{})
	go func() { r.sending.Wait(); close(sent) }() // ends with hangUp at the latest
	tick := time.NewTicker(drainQuiet / 10)
	defer tick.Stop()
	began, last, before := time.Now(), time.Now(), r.arrived()
	for now := range tick.C {
		if count := r.arrived(); count != before {
			last, before = now, count
		}
		done := closed(sent) && (r.complete() || now.Sub(last) > drainQuiet)
		if done || now.Sub(began) > longestDrain {
			return
		}
		r.tell(Progress{Stage: "draining"})
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// complete says whether everything that was sent in the window has arrived.
func (r *run) complete() bool {
	for _, s := range r.streams {
		if s.delivered.Load() < s.sentInWindow() {
			return false
		}
	}
	return true
}

// hangUp closes all connections and waits for their goroutines. A second call does
// nothing.
func (r *run) hangUp() {
	r.closing.Store(true)
	closeAll(r.idlers)
	closeAll(r.from)
	closeAll(r.to)
	r.receiving.Wait()
	r.sending.Wait()
}

func (r *run) tell(p Progress) {
	if r.cfg.Progress != nil {
		r.cfg.Progress(p)
	}
}
