package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// tally sums up what senders and receivers know, once all of them have ended.
func (r *run) tally() {
	p := &r.report.Packets
	for _, s := range r.streams {
		p.Sent += s.sentInWindow()
		p.Delivered += s.delivered.Load()
	}
	p.Offered = p.Sent
	if r.cfg.Rate > 0 {
		p.Offered = 0
		for _, s := range r.senders {
			p.Offered += s.offered
		}
	}
	p.derive(r.cfg.Size, time.Duration(r.report.Seconds*1e9))
	r.tallyFaults()
	r.tallyStall()
}

func (r *run) tallyFaults() {
	all := newHistogram()
	for _, recv := range r.receivers {
		all.Merge(recv.latencies)
		r.report.Broken.add(&recv.checker)
	}
	if all.TotalCount() > 0 {
		r.report.Latency = latencyOf(all)
	}
}

// add books what one receiver's checker found, once its goroutine has ended.
func (b *Broken) add(c *checker) {
	b.Streams += len(c.broken)
	for kind, n := range c.faults {
		if n == 0 {
			continue
		}
		if b.Kinds == nil {
			b.Kinds = map[string]uint64{}
		}
		b.Frames += n
		b.Kinds[Fault(kind).String()] += n
	}
	if b.Example == "" {
		b.Example = c.example
	}
}

func (r *run) tallyStall() {
	if r.staller == nil {
		return
	}
	r.report.Stall = &Stall{Sent: r.stalled.seq}
}

func latencyOf(h *hdrhistogram.Histogram) *Latency {
	us := func(quantile float64) float64 { return float64(h.ValueAtQuantile(quantile)) / 1e3 }
	return &Latency{P50: us(50), P90: us(90), P99: us(99), Max: float64(h.Max()) / 1e3}
}
