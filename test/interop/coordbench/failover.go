package coordbench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/detour-relay/detour/internal/coordload"
	"github.com/detour-relay/detour/key"
)

// Failover is what members notice when one of three coordinators is killed.
type Failover struct {
	Streams int `json:"streams"`
	Kills   int `json:"kills"`
	Leaders int `json:"leaders"` // of the kills, of the one whose engine led the bucket of members

	WriteP50  float64 `json:"write_p50_ms"` // from the kill until both survivors have taken reports of all buckets that began after it
	WriteP99  float64 `json:"write_p99_ms"`
	StreamP50 float64 `json:"stream_p50_ms"` // from the kill until all streams are complete elsewhere
	StreamP99 float64 `json:"stream_p99_ms"`

	Told      int64 `json:"told"` // to streams of a tailnet in which nothing changes: the sum of the next three
	Peers     int64 `json:"peers"`
	Gone      int64 `json:"gone"`
	Snapshots int64 `json:"snapshots"`
}

// loudNets are tailnets whose members report, enough for most of the engine's buckets, each of which has its own leader.
const loudNets = 16

// failover is the measurement while it runs.
type failover struct {
	*Place
	all             []*coordinator
	quiet           *coordload.Crowd
	loud            []*coordload.Crowd // of each coordinator, one member of each loud tailnet
	members         int                // of each tailnet
	writes, streams []time.Duration
	found           Failover
}

// Failover kills each of three coordinators in turn, kills times in all.
func (p *Place) Failover(ctx context.Context, members, kills int) (found Failover, err error) {
	f := &failover{Place: p, members: members}
	if f.all, err = p.three(ctx); err != nil {
		return found, err
	}
	defer stopAll(f.all)
	if err := f.prepareCrowds(ctx); err != nil {
		return found, err
	}
	defer f.closeCrowds()
	if err := f.once(ctx, nil); err != nil { // snapshots are allowed this time
		return found, err
	}
	f.found = Failover{Streams: members, Kills: kills}
	for n := range kills {
		if err := f.once(ctx, f.all[n%len(f.all)]); err != nil {
			return f.found, fmt.Errorf("kill %d: %w", n+1, err)
		}
	}
	f.found.WriteP50, f.found.WriteP99 = percentile(f.writes, 0.50), percentile(f.writes, 0.99)
	f.found.StreamP50, f.found.StreamP99 = percentile(f.streams, 0.50), percentile(f.streams, 0.99)
	return f.found, nil
}

func (f *failover) prepareCrowds(ctx context.Context) error {
	members, err := f.importedMembers(ctx, f.all, 1+loudNets, f.members)
	if err != nil {
		return err
	}
	if f.quiet, err = f.loggedIn(ctx, addrsOf(f.all), members[:f.members]); err != nil {
		return err
	}
	for n, c := range f.all {
		var some []*coordload.Member
		for net := range loudNets {
			some = append(some, members[(1+net)*f.members+n])
		}
		loud, err := f.loggedIn(ctx, []string{c.addr}, some)
		if err != nil {
			return err
		}
		f.loud = append(f.loud, loud)
	}
	return nil
}

func (f *failover) closeCrowds() {
	for _, c := range append(f.loud, f.quiet) {
		if c != nil {
			c.Close()
		}
	}
}

// once spreads the streams over all coordinators and kills one; nil: none. Then it starts it again.
func (f *failover) once(ctx context.Context, victim *coordinator) error {
	streams := f.quiet.Open(loginsAtOnce)
	defer streams.Close()
	defer f.count(streams)
	if err := open(ctx, streams, f.members); err != nil {
		return err
	}
	for n := range f.loud { // each connection has sent once
		if err := f.taken(ctx, n); err != nil {
			return err
		}
	}
	if victim == nil {
		return nil
	}
	leads := victim.leads(ctx)
	if leads {
		f.found.Leaders++
	}
	at, had := f.index(victim), streams.OpenedAt(f.index(victim))
	write, moved, err := f.kill(ctx, streams, at)
	if err != nil {
		return err
	}
	f.writes, f.streams = append(f.writes, write), append(f.streams, moved)
	f.Talk("  %s killed%s: all reports are taken after %.0f ms, its %d streams are elsewhere after %.0f ms", victim.name,
		map[bool]string{true: ", the leader"}[leads], ms(write), had, ms(moved))
	if err := victim.start(ctx); err != nil {
		return err
	}
	return awaitCurrent(ctx, f.all)
}

func (f *failover) index(c *coordinator) int {
	for n := range f.all {
		if f.all[n] == c {
			return n
		}
	}
	return -1
}

// kill returns how long it takes until all reports are taken, and until all streams are at the survivors.
func (f *failover) kill(ctx context.Context, streams *coordload.Streams, at int) (write, moved time.Duration, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not within a minute after the kill"))
	defer cancel()
	f.all[at].kill()
	began := time.Now()
	type outcome struct {
		after time.Duration
		err   error
	}
	reports := make(chan outcome, len(f.loud))
	for n := range f.loud {
		if n != at {
			go func() {
				err := f.taken(ctx, n)
				reports <- outcome{time.Since(began), err}
			}()
		}
	}
	if err = streams.AwaitElsewhere(ctx, at, f.members); err != nil {
		err = fmt.Errorf("%d of %d streams are elsewhere: %w; the last that ended: %v", streams.Opened(), f.members, err, streams.Last())
	}
	moved = time.Since(began)
	for range len(f.loud) - 1 {
		o := <-reports
		write, err = max(write, o.after), errors.Join(err, o.err)
	}
	return write, moved, err
}

// reportPause is between two tries of a report: members pause longer.
const reportPause = 20 * time.Millisecond

// taken has a coordinator's members report, each until the coordinator takes it.
func (f *failover) taken(ctx context.Context, n int) error {
	return f.loud[n].Each(ctx, loudNets, func(ctx context.Context, i int) error {
		for {
			err := f.loud[n].Report(ctx, i, 1, key.NewPrivate().Public())
			if err == nil {
				return nil
			}
			select {
			case <-time.After(reportPause):
			case <-ctx.Done():
				return fmt.Errorf("coordinator %s takes no report: %w", f.all[n].name, err)
			}
		}
	})
}

// count adds what the streams were told that nobody had to be told.
func (f *failover) count(s *coordload.Streams) {
	peers, gone, snapshots := s.Peers.Load(), s.Gone.Load(), s.Snapshots.Load()
	f.found.Peers, f.found.Gone, f.found.Snapshots = f.found.Peers+peers, f.found.Gone+gone, f.found.Snapshots+snapshots
	f.found.Told += peers + gone + snapshots
}
