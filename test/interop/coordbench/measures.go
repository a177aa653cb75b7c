package coordbench

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/coordload"
)

// percentile is the p-th of times, in ms.
func percentile(times []time.Duration, p float64) float64 {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return ms(times[min(int(p*float64(len(times))), len(times)-1)])
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// FanOut is how long it takes until all of a tailnet have a change of home.
type FanOut struct {
	Members int     `json:"members"`
	Changes int     `json:"changes"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
}

// FanOut measures with one coordinator, or with three.
func (p *Place) FanOut(ctx context.Context, replicas, members, changes int) (f FanOut, err error) {
	all, err := p.start(ctx, replicas)
	if err != nil {
		return f, err
	}
	defer stopAll(all)
	crowd, err := p.crowd(ctx, all, 1, members)
	if err != nil {
		return f, err
	}
	defer crowd.Close()
	streams := crowd.Open(loginsAtOnce)
	defer streams.Close()
	if err := open(ctx, streams, members); err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, err := crowd.FanOut(ctx, streams, 5); err != nil { // each connection has sent once
		return f, err
	}
	took, err := crowd.FanOut(ctx, streams, changes)
	if err == nil && streams.Ends.Load() > 0 {
		err = fmt.Errorf("%d streams ended: %w", streams.Ends.Load(), streams.Last())
	}
	return FanOut{members, changes, percentile(took, 0.50), percentile(took, 0.99)}, err
}

func (p *Place) start(ctx context.Context, replicas int) ([]*coordinator, error) {
	if replicas == 3 {
		return p.three(ctx)
	}
	c, err := p.one(ctx)
	return []*coordinator{c}, err
}

func open(ctx context.Context, s *coordload.Streams, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := s.AwaitOpen(ctx, n); err != nil {
		return fmt.Errorf("%d of %d streams are there: %w; the last that ended: %v", s.Opened(), n, err, s.Last())
	}
	return nil
}

// Storm is what streams cost, and what all of them at once do.
type Storm struct {
	Streams int     `json:"streams"`
	KB      float64 `json:"kb_per_stream"`
	Resumes Resumes `json:"resumes"`
}

// Resumes are streams that come back, all at once. TLS sessions are resumed, too.
type Resumes struct {
	Seconds   float64 `json:"s"`          // until all are there
	Snapshots int64   `json:"snapshots"`  // that were needed
	CPU       float64 `json:"cpu_us"`     // of the coordinator, per resume
	OwnCPU    float64 `json:"own_cpu_us"` // of who measures
}

// Storm measures one coordinator under the members of many tailnets.
func (p *Place) Storm(ctx context.Context, nets, perNet int) (s Storm, err error) {
	all, err := p.start(ctx, 1)
	if err != nil {
		return s, err
	}
	defer stopAll(all)
	crowd, err := p.crowd(ctx, all, nets, perNet)
	if err != nil {
		return s, err
	}
	defer crowd.Close()
	s.Streams = nets * perNet
	before, err := all[0].residentMB()
	if err != nil {
		return s, err
	}
	streams := crowd.Open(loginsAtOnce)
	err = open(ctx, streams, s.Streams)
	if err == nil {
		time.Sleep(10 * time.Second) // what only the beginning needs is given back
		var with float64
		with, err = all[0].residentMB()
		p.Talk("  %.0f MB before the streams, %.0f MB with them", before, with)
		s.KB = (with - before) * 1024 / float64(s.Streams)
	}
	streams.Close()
	if err != nil {
		return s, err
	}
	var runs []Resumes
	for range stormRuns {
		time.Sleep(2 * time.Second) // all are gone
		run, err := p.resumes(ctx, all[0], crowd, s.Streams)
		if err != nil {
			return s, err
		}
		runs = append(runs, run)
	}
	slices.SortFunc(runs, func(a, b Resumes) int { return cmp.Compare(a.Seconds, b.Seconds) })
	s.Resumes = runs[len(runs)/2]
	for _, run := range runs { // none of them may need one
		s.Resumes.Snapshots = max(s.Resumes.Snapshots, run.Snapshots)
	}
	return s, nil
}

// stormRuns is how often all come back; what counts is the median.
const stormRuns = 3

// resumes has n streams come back at once.
func (p *Place) resumes(ctx context.Context, c *coordinator, crowd *coordload.Crowd, n int) (r Resumes, err error) {
	before, err := c.usage()
	if err != nil {
		return r, err
	}
	runtime.GC() // of what is here: there are no fresh pages to be had from the system meanwhile
	ownBefore, began := ownCPU(), time.Now()
	streams := crowd.Open(n)
	defer streams.Close()
	if err := open(ctx, streams, n); err != nil {
		return r, err
	}
	r = Resumes{Seconds: time.Since(began).Seconds(), Snapshots: streams.Snapshots.Load()}
	after, err := c.usage()
	r.CPU = float64((after.cpu - before.cpu).Microseconds()) / float64(n)
	r.OwnCPU = float64((ownCPU() - ownBefore).Microseconds()) / float64(n)
	p.Talk("  %d have come back in %.1f s, %d of them from the beginning, %d ended meanwhile; %.0f us of CPU each, and %.0f us here",
		n, r.Seconds, r.Snapshots, streams.Ends.Load(), r.CPU, r.OwnCPU)
	return r, err
}

// Million is a coordinator with very many members.
type Million struct {
	Members int     `json:"members"`
	StartMS float64 `json:"start_ms"` // after kill -9
	PeakMB  float64 `json:"peak_mb"`  // of that start
	SoonMB  float64 `json:"soon_mb"`  // ten seconds after it
	MB      float64 `json:"mb"`       // once it has settled
	LoadMS  float64 `json:"import_ms"`
}

// Million fills a coordinator, kills it and starts it again.
func (p *Place) Million(ctx context.Context, nets, perNet int) (m Million, err error) {
	c, err := p.one(ctx)
	if err != nil {
		return m, err
	}
	defer c.stop()
	m.Members = nets * perNet
	began := time.Now()
	if err := p.imported(ctx, c, func(w io.Writer) error { return coordload.WriteStrangers(w, nets, perNet) }); err != nil {
		return m, err
	}
	m.LoadMS = ms(time.Since(began))
	p.full, p.fullOf = c, m.Members
	c.kill()
	began = time.Now()
	if err := c.start(ctx); err != nil {
		return m, err
	}
	m.StartMS = ms(time.Since(began))
	time.Sleep(10 * time.Second)
	if m.SoonMB, err = c.residentMB(); err != nil {
		return m, err
	}
	if m.PeakMB, err = c.peakMB(); err != nil {
		return m, err
	}
	time.Sleep(settleTime)
	m.MB, err = c.residentMB()
	p.Talk("  started in %.1f s; %.0f MB at most, %.0f MB ten seconds later, %.0f MB settled", m.StartMS/1000, m.PeakMB, m.SoonMB, m.MB)
	return m, err
}

// settleTime is after which a coordinator has given back what it needed to start: the engine keeps an index of what was
// read for two minutes.
const settleTime = 200 * time.Second
