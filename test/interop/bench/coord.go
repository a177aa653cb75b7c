package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/detour-relay/detour/test/interop/coordbench"
)

// The coordination server: processes of it, and members by the thousand in this one (package coordbench).

// coordination is what was found.
type coordination struct {
	FanOut     *coordbench.FanOut     `json:"fan_out,omitempty"`
	FanOut3    *coordbench.FanOut     `json:"fan_out_three,omitempty"`
	Storm      *coordbench.Storm      `json:"storm,omitempty"`
	Failover   *coordbench.Failover   `json:"failover,omitempty"`
	Million    *coordbench.Million    `json:"million,omitempty"`
	Away       *coordbench.Away       `json:"away,omitempty"`
	Model      *coordbench.Model      `json:"model,omitempty"`
	Simulation *coordbench.Simulation `json:"simulation,omitempty"`
}

const (
	fanOutMembers = 1000
	fanOutChanges = 300
	stormNets     = 2000
	perNet        = 10
	millionNets   = 100_000
	failoverQuiet = 300
	failoverKills = 12
	awayTime      = 5 * time.Minute
	modelWatchers = 200
	modelTime     = 3 * time.Minute
)

// The measurements of the coordination server.
const (
	coordFanOut   = "coordination: fan-out"
	coordFanOut3  = "coordination: fan-out of three"
	coordStorm    = "coordination: streams"
	coordFailover = "coordination: kills"
	coordMillion  = "coordination: members"
	coordAway     = "coordination: away"
	coordModel    = "coordination: model"
	coordSimulate = "coordination: simulation"
)

func coordRows(o options) []row {
	storm := func(f func(*coordbench.Storm) float64) func(*coordination) float64 {
		return func(c *coordination) float64 { return f(c.Storm) }
	}
	failover := func(f func(*coordbench.Failover) float64) func(*coordination) float64 {
		return func(c *coordination) float64 { return f(c.Failover) }
	}
	streams, members := coordbench.Fits(stormNets, perNet), millionNets*perNet
	crowd := fmt.Sprintf("%d members of %d tailnets on TLS streams", streams*perNet, streams)
	return []row{
		coordRow("coord-fanout", fmt.Sprintf("home change until all %d members of a tailnet have it, p99", fanOutMembers), "ms", mark{limit: 200}, coordFanOut,
			func(c *coordination) float64 { return c.FanOut.P99 }),
		coordRow("coord-fanout-three", "the same with three coordinators, p99", "ms", mark{limit: 500}, coordFanOut3,
			func(c *coordination) float64 { return c.FanOut3.P99 }),
		coordRow("coord-stream-memory", crowd+": memory of each", "KB", mark{limit: 25}, coordStorm,
			storm(func(s *coordbench.Storm) float64 { return s.KB })),
		coordRow("coord-resume", fmt.Sprintf("all %d resume at once: all are there, p50 of 3 times", streams*perNet), "ms", mark{limit: 10_000}, coordStorm,
			storm(func(s *coordbench.Storm) float64 { return s.Resumes.Seconds * 1000 })),
		coordRow("coord-resume-snapshots", "of these, how many have to begin anew", "", mark{}, coordStorm,
			storm(func(s *coordbench.Storm) float64 { return float64(s.Resumes.Snapshots) })),
		coordRow("coord-kill-writes", fmt.Sprintf("kill -9 of one of three, %d times: reports are taken again, p99", failoverKills), "ms", mark{limit: 3000}, coordFailover,
			failover(func(f *coordbench.Failover) float64 { return f.WriteP99 })),
		coordRow("coord-kill-streams", "its streams are complete elsewhere, p99", "ms", mark{limit: 3000}, coordFailover,
			failover(func(f *coordbench.Failover) float64 { return f.StreamP99 })),
		coordRow("coord-kill-told", "changes and snapshots that the streams of a quiet tailnet are told of meanwhile", "", mark{}, coordFailover,
			failover(func(f *coordbench.Failover) float64 { return float64(f.Told) })),
		coordRow("coord-million-memory", fmt.Sprintf("%d members loaded: memory of the coordinator, settled", members), "MB", mark{limit: 600}, coordMillion,
			func(c *coordination) float64 { return c.Million.MB }),
		coordRow("coord-million-start", "its start after kill -9, until it is ready", "ms", mark{limit: 30_000}, coordMillion,
			func(c *coordination) float64 { return c.Million.StartMS }),
		coordRow("coord-away", fmt.Sprintf("no coordinator for %v while a member's home moves: packets lost beyond the move itself", o.away), "", mark{}, coordAway,
			func(c *coordination) float64 { return float64(c.Away.Lost) }),
		coordRow("coord-model", fmt.Sprintf("random run of %d watchers through kills and pauses: updates lost, out of order or different at the end", modelWatchers), "", mark{}, coordModel,
			func(c *coordination) float64 { return c.Model.Wrong() }),
		coordRow("coord-simulation", fmt.Sprintf("simulation, one coordinator with %d members: homes changed as fast as it goes", members), "/s", mark{none: true}, coordSimulate,
			func(c *coordination) float64 { return c.Simulation.Most.PerSecond }),
	}
}

// coordRow is a row of one figure that is compared with its mark.
func coordRow(name, text, unit string, m mark, needs string, figure func(*coordination) float64) row {
	return row{name: name, text: text, unit: unit, mark: m, needs: []string{needs}, apart: true, figures: func(r *results) (*float64, *float64) {
		if r.Coordination == nil || r.Missing[needs] != nil {
			return nil, nil
		}
		f := figure(r.Coordination)
		return &f, nil
	}}
}

// coordinations are the measurements of the coordination server. Each is made once.
func (s *stage) coordinations(r *results) []other {
	c := new(coordination)
	fits := coordbench.Fits(stormNets, perNet)
	return []other{
		measured(s, r, c, coordFanOut, &c.FanOut, func(ctx context.Context, p *coordbench.Place) (coordbench.FanOut, error) {
			return p.FanOut(ctx, 1, fanOutMembers, fanOutChanges)
		}),
		measured(s, r, c, coordFanOut3, &c.FanOut3, func(ctx context.Context, p *coordbench.Place) (coordbench.FanOut, error) {
			return p.FanOut(ctx, 3, fanOutMembers, fanOutChanges)
		}),
		measured(s, r, c, coordStorm, &c.Storm, func(ctx context.Context, p *coordbench.Place) (coordbench.Storm, error) {
			return p.Storm(ctx, fits, perNet)
		}),
		measured(s, r, c, coordFailover, &c.Failover, func(ctx context.Context, p *coordbench.Place) (coordbench.Failover, error) {
			return p.Failover(ctx, failoverQuiet, failoverKills)
		}),
		measured(s, r, c, coordMillion, &c.Million, func(ctx context.Context, p *coordbench.Place) (coordbench.Million, error) {
			return p.Million(ctx, millionNets, perNet)
		}),
		measured(s, r, c, coordAway, &c.Away, func(ctx context.Context, p *coordbench.Place) (coordbench.Away, error) {
			return p.Away(ctx, s.options.away)
		}),
		measured(s, r, c, coordModel, &c.Model, func(ctx context.Context, p *coordbench.Place) (coordbench.Model, error) {
			return p.Model(ctx, modelWatchers, modelTime)
		}),
		measured(s, r, c, coordSimulate, &c.Simulation, func(ctx context.Context, p *coordbench.Place) (coordbench.Simulation, error) {
			found, err := p.Simulate(ctx, millionNets, perNet, fits)
			if err == nil {
				talk("\n%s\n", found.Table())
			}
			return found, err
		}),
	}
}

// measured is a measurement whose finding stands at a place of the coordination's.
func measured[T any](s *stage, r *results, c *coordination, name string, found **T, measure func(context.Context, *coordbench.Place) (T, error)) other {
	return other{name, func(ctx context.Context) error {
		place, err := s.coordPlace()
		if err != nil {
			return err
		}
		one, err := measure(ctx, place)
		if err != nil {
			return err
		}
		*found, r.Coordination = &one, c
		return nil
	}}
}

// coordPlace is one for all measurements: what takes minutes to fill is used by two of them.
func (s *stage) coordPlace() (*coordbench.Place, error) {
	if s.place != nil {
		return s.place, nil
	}
	dir, err := os.MkdirTemp(s.dir, "coord-")
	if err != nil {
		return nil, err
	}
	s.place = &coordbench.Place{Detour: s.detour, Dir: dir, Talk: func(format string, args ...any) { talk(format+"\n", args...) }}
	return s.place, nil
}
