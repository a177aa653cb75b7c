package coordbench

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordload"
)

// Simulation is one coordinator with 1,000,000 members or so, as many of them with streams as fit, and what follows
// from its figures for all of them.
type Simulation struct {
	Members int     `json:"members"`
	Streams int     `json:"streams"`
	Cores   int     `json:"cores"`
	MB      float64 `json:"mb"`            // with the members, before streams
	KB      float64 `json:"kb_per_stream"` // on top of it
	DiskMB  float64 `json:"disk_mb"`

	Life  Reports `json:"life"`  // as they come in life
	Most  Reports `json:"most"`  // as fast as it goes
	Storm Resumes `json:"storm"` // all of Streams at once, after kill -9 of the coordinator
}

// Reports are changed homes.
type Reports struct {
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	CPU       float64 `json:"cpu_us"` // of the coordinator, per report
	Bytes     float64 `json:"bytes"`  // written to storage, per report
}

const (
	movesPerDay = 4                // of a peer's home: an assumption. Most never move; a laptop does with its owner
	stormWindow = 30 * time.Second // over which members come back, unless they have been away for less than a second
	driveTime   = 30 * time.Second
)

// Simulate loads a coordinator and measures.
func (p *Place) Simulate(ctx context.Context, nets, perNet, withStreams int) (s Simulation, err error) {
	c, err := p.filled(ctx, nets-withStreams, perNet)
	if c != nil {
		defer c.stop()
	}
	if err != nil {
		return s, err
	}
	p.full = nil // it is not as it was from now on
	crowd, err := p.crowd(ctx, []*coordinator{c}, withStreams, perNet)
	if err != nil {
		return s, err
	}
	defer crowd.Close()
	s = Simulation{Members: p.fullOf + withStreams*perNet, Streams: withStreams * perNet, Cores: runtime.NumCPU()}
	if err := p.restart(ctx, c, &s); err != nil {
		return s, err
	}
	streams := crowd.Open(loginsAtOnce)
	err = open(ctx, streams, s.Streams)
	if err == nil {
		err = p.drive(ctx, c, crowd, &s)
	}
	streams.Close()
	if err != nil {
		return s, err
	}
	s.Storm, err = p.storm(ctx, c, crowd, s.Streams)
	return s, err
}

// filled is a coordinator with so many members, or what Million has filled.
func (p *Place) filled(ctx context.Context, nets, perNet int) (*coordinator, error) {
	if p.full != nil {
		return p.full, p.full.start(ctx)
	}
	c, err := p.one(ctx)
	if err != nil {
		return nil, err
	}
	p.full, p.fullOf = c, nets*perNet
	return c, p.imported(ctx, c, func(w io.Writer) error { return coordload.WriteStrangers(w, nets, perNet) })
}

// restart kills the coordinator and starts it: the import is forgotten, and what it left in memory is not counted.
func (p *Place) restart(ctx context.Context, c *coordinator, s *Simulation) (err error) {
	c.kill()
	began := time.Now()
	if err := c.start(ctx); err != nil {
		return err
	}
	p.Talk("  started again with all members, %.1f s", time.Since(began).Seconds())
	time.Sleep(settleTime)
	s.MB, err = c.residentMB()
	return err
}

func (p *Place) drive(ctx context.Context, c *coordinator, crowd *coordload.Crowd, s *Simulation) (err error) {
	time.Sleep(10 * time.Second)
	mb, err := c.residentMB()
	if err != nil {
		return err
	}
	s.KB = (mb - s.MB) * 1024 / float64(s.Streams)
	if s.Life, err = p.reports(ctx, c, crowd, float64(s.Members)*movesPerDay/(24*time.Hour).Seconds()); err != nil {
		return err
	}
	if s.Most, err = p.reports(ctx, c, crowd, 0); err != nil {
		return err
	}
	s.DiskMB, err = c.keptMB()
	return err
}

// reports drives reports and says what they cost.
func (p *Place) reports(ctx context.Context, c *coordinator, crowd *coordload.Crowd, perSecond float64) (r Reports, err error) {
	before, err := c.usage()
	if err != nil {
		return r, err
	}
	began := time.Now()
	took, err := crowd.Drive(ctx, driveTime, perSecond, loginsAtOnce)
	if err != nil {
		return r, err
	}
	long := time.Since(began)
	after, err := c.usage()
	n := float64(len(took))
	r = Reports{
		PerSecond: n / long.Seconds(), P50: percentile(took, 0.50), P99: percentile(took, 0.99),
		CPU: float64((after.cpu - before.cpu).Microseconds()) / n, Bytes: (after.written - before.written) / n,
	}
	p.Talk("  %.0f reports/s, p50 %.1f ms, p99 %.1f ms, %.0f us of CPU and %.0f bytes each", r.PerSecond, r.P50, r.P99, r.CPU, r.Bytes)
	return r, err
}

// storm has all streams come back at once to a coordinator that was killed.
func (p *Place) storm(ctx context.Context, c *coordinator, crowd *coordload.Crowd, n int) (r Resumes, err error) {
	c.kill()
	if err := c.start(ctx); err != nil {
		return r, err
	}
	time.Sleep(5 * time.Second) // the start is over, and is not counted
	return p.resumes(ctx, c, crowd, n)
}

// StormPerSecond is how many resumes a coordinator can do with all of the cores to itself.
func (s Simulation) StormPerSecond() float64 { return float64(s.Cores) * 1e6 / s.Storm.CPU }

// Coordinators is how many are needed for all members to be back in the window over which they come.
func (s Simulation) Coordinators(window time.Duration) float64 {
	return math.Ceil(float64(s.Members) / window.Seconds() / s.StormPerSecond())
}

// Table is the simulation as a document has it.
func (s Simulation) Table() string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "| one coordinator, %d members, %d streams, %d cores | |\n|---|---|\n", s.Members, s.Streams, s.Cores)
	line("memory with all members, no streams", "%.0f MB", s.MB)
	line("memory per stream, handshakes just over", "%.1f KB", s.KB)
	line("state on disk after the reports", "%.0f MB", s.DiskMB)
	for _, r := range []struct {
		what string
		Reports
	}{{fmt.Sprintf("homes change %d times a day", movesPerDay), s.Life}, {"homes change as fast as it goes", s.Most}} {
		line(r.what, "%.0f/s, p50 %.1f ms, p99 %.1f ms", r.PerSecond, r.P50, r.P99)
		line("— CPU and disk for each", "%.0f us, %.0f bytes", r.CPU, r.Bytes)
	}
	line(fmt.Sprintf("all %d streams come back at once after kill -9", s.Streams), "%.1f s, %d snapshots", s.Storm.Seconds, s.Storm.Snapshots)
	line("— CPU for each", "%.0f us", s.Storm.CPU)
	line("resumes that such a machine can do", "%.0f/s", s.StormPerSecond())
	for _, window := range []time.Duration{stormWindow, 2 * stormWindow, 4 * stormWindow} {
		line(fmt.Sprintf("such coordinators for all %d members to be back within %.0f s", s.Members, window.Seconds()), "%.0f", s.Coordinators(window))
	}
	line("streams of all members, in memory", "%.1f GB", float64(s.Members)*s.KB/(1<<20))
	return b.String()
}
