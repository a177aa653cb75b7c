package membercmd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/detour-relay/detour/internal/load"
	"github.com/detour-relay/detour/tailnet"
)

// PingConfig asks for round trips from one member to another.
type PingConfig struct {
	StateFile string // of the one
	Name      string // or key of the other
	Count     int    // 0: until ctx ends
	Interval  time.Duration
	Timeout   time.Duration
	Size      int

	Ready func(PingReport) // knows who it goes to; may be nil
	Each  func(load.Reply) // may be nil
}

// PingReport sums up the round trips. Its JSON form is stable.
type PingReport struct {
	As   string `json:"as"`
	Peer string `json:"peer"`
	Key  string `json:"key"`
	Home int    `json:"home,omitempty"` // of the peer
	load.EchoReport
	URL string `json:"url,omitempty"` // stands in the place of that of EchoReport, and is empty
}

// Ping sends pings by the join that runs with the state file, or else as a member itself.
func Ping(ctx context.Context, cfg PingConfig) (*PingReport, error) {
	order := pingOrder{rand.Uint64(), cfg.Name, cfg.Count, cfg.Interval, cfg.Timeout, cfg.Size}
	s := newSum(cfg)
	err := borrow(ctx, cfg.StateFile, order, s.take)
	if errors.Is(err, errNotLent) {
		err = pingAlone(ctx, cfg.StateFile, order, s.take)
	}
	return s.report(), err
}

func pingAlone(ctx context.Context, stateFile string, order pingOrder, tell func(pingNews)) error {
	m, err := tailnet.Open(ctx, tailnet.Config{StateFile: stateFile})
	if errors.Is(err, tailnet.ErrInUse) {
		return fmt.Errorf("%s: another process is this member, and it takes no orders: wait for it, or end it", stateFile)
	}
	if err != nil {
		return explainOpen("detour join", err)
	}
	defer m.Close()
	n, err := startNode(m, nil)
	if err != nil {
		return err
	}
	defer n.close()
	return n.ping(ctx, order, tell)
}

// sum adds up what is told.
type sum struct {
	cfg   PingConfig
	all   PingReport
	trips *hdrhistogram.Histogram
}

func newSum(cfg PingConfig) *sum {
	return &sum{cfg: cfg, trips: hdrhistogram.New(1, int64(time.Hour), 3)}
}

func (s *sum) take(news pingNews) {
	if news.Seq == 0 {
		s.all.As, s.all.Peer, s.all.Key, s.all.Home = news.Self, news.Peer, news.Key.String(), news.Home
		if s.all.Peer == "" {
			s.all.Peer = news.Key.Short()
		}
		if s.cfg.Ready != nil {
			s.cfg.Ready(s.all)
		}
		return
	}
	s.all.Sent++
	if news.Took > 0 {
		s.all.Received++
		s.trips.RecordValue(news.Took)
	}
	if s.cfg.Each != nil {
		s.cfg.Each(load.Reply{Seq: news.Seq, Took: time.Duration(news.Took), Lost: news.Took == 0})
	}
}

func (s *sum) report() *PingReport {
	r := s.all
	r.SizeBytes = s.cfg.Size
	if r.Sent > 0 {
		r.LossPercent = 100 * float64(r.Sent-r.Received) / float64(r.Sent)
	}
	if r.Received > 0 {
		us := func(v int64) float64 { return float64(v) / 1e3 }
		r.RoundTrip = &load.RoundTrip{
			Min: us(s.trips.Min()), Mean: s.trips.Mean() / 1e3, P50: us(s.trips.ValueAtQuantile(50)),
			P90: us(s.trips.ValueAtQuantile(90)), P99: us(s.trips.ValueAtQuantile(99)), Max: us(s.trips.Max()),
		}
	}
	return &r
}
