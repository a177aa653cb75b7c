package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/load"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/test/interop/coordbench"
	"github.com/detour-relay/detour/test/interop/programs"
)

// stage is what measurements need: the programs and a certificate.
type stage struct {
	options options
	dir     string // temporary
	detour  string // our program, which is also the generator
	derper  string
	meshKey key.Mesh          // of every region of this run
	place   *coordbench.Place // nil: not needed yet
}

// prepare builds the programs and makes a certificate.
func prepare(ctx context.Context, o options) (*stage, error) {
	talk("building detour and derper\n")
	s := &stage{options: o}
	var err error
	if s.meshKey, err = key.ParseMesh(programs.NewMeshKey()); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "detour-bench-"); err != nil {
		return nil, err
	}
	if err := errors.Join(s.build(), programs.WriteCertificate(s.dir), ctx.Err()); err != nil {
		s.cleanUp()
		return nil, err
	}
	return s, nil
}

func (s *stage) build() (err error) {
	if s.detour, err = programs.Detour(); err != nil {
		return err
	}
	s.derper, err = programs.Derper()
	return err
}

func (s *stage) cleanUp() {
	os.RemoveAll(s.dir)
	programs.Clean()
}

// result is what one measurement found, one report for each round.
type result struct {
	Name    string         `json:"name"`
	Relay   string         `json:"relay"`
	Reports []*load.Report `json:"reports"`
}

// results are all that a run found out.
type results struct {
	Loads          []*result      `json:"loads"`
	Trials         trials         `json:"trials,omitempty"`
	Profile        *profileShares `json:"profile,omitempty"`
	InGo           []benchmark    `json:"go_benchmarks,omitempty"`
	Download       *download      `json:"download,omitempty"`
	DownloadSameGo *download      `json:"download_same_go,omitempty"`
	Presence       presences      `json:"presence,omitempty"`
	Restarts       *restarts      `json:"restarts,omitempty"`
	Kills          *outages       `json:"kills,omitempty"`
	Losses         losses         `json:"losses,omitempty"`
	STUN           stunReports    `json:"stun,omitempty"`
	Netcheck       *netchecks     `json:"netcheck,omitempty"`
	Nodes          *nodeMemory    `json:"nodes,omitempty"`

	FrontDoor    *frontDoor       `json:"front_door,omitempty"`
	Coordination *coordination    `json:"coordination,omitempty"`
	Tunnels      *tunnels         `json:"tunnels,omitempty"`
	TunnelLives  *tunnelLives     `json:"tunnel_lives,omitempty"`
	Missing      map[string]error `json:"-"` // by the name of what could not be measured
}

// measureAll makes the measurements that the rows need.
func (s *stage) measureAll(ctx context.Context, need []string) (*results, error) {
	r := &results{Trials: trials{}, Missing: map[string]error{}}
	if err := s.measureLoads(ctx, need, r); err != nil {
		return nil, err
	}
	for _, o := range s.others(r) {
		if slices.Contains(need, o.name) {
			o.attempt(ctx, r)
		}
	}
	return r, ctx.Err()
}

// measureLoads makes the rounds: in each, every measurement for one relay right after the other, so that
// both see the same machine. Which comes first changes from round to round.
func (s *stage) measureLoads(ctx context.Context, names []string, r *results) error {
	relays := []relayKind{ours, sameGo, earlier, derper}
	for round := range s.options.rounds {
		for _, m := range loads() {
			if !slices.Contains(names, m.name) {
				continue
			}
			for _, kind := range relays {
				if !m.of(kind, s.options) {
					continue
				}
				report, err := s.measure(ctx, m, kind)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err != nil {
					r.Missing[m.name] = fmt.Errorf("%s: %w", kind, err)
					talk("round %d of %d  %-14s %-14s not measured: %v\n", round+1, s.options.rounds, m.name, kind, err)
					continue
				}
				r.add(m.name, kind, report)
				talk("round %d of %d  %-14s %-14s %s\n", round+1, s.options.rounds, m.name, kind, glance(report))
			}
		}
		slices.Reverse(relays)
	}
	return nil
}

func (r *results) add(name string, kind relayKind, report *load.Report) {
	found := r.find(name, kind)
	if found == nil {
		found = &result{Name: name, Relay: string(kind)}
		r.Loads = append(r.Loads, found)
	}
	found.Reports = append(found.Reports, report)
}

func (r *results) find(name string, kind relayKind) *result {
	for _, one := range r.Loads {
		if one.Name == name && one.Relay == string(kind) {
			return one
		}
	}
	return nil
}

// measure starts a relay, puts the load on it and ends it.
func (s *stage) measure(ctx context.Context, m measurement, kind relayKind) (*load.Report, error) {
	if m.mesh || m.beside {
		return s.measureMesh(ctx, m, kind)
	}
	relay, err := s.start(ctx, kind)
	if err != nil {
		return nil, err
	}
	defer relay.stop()
	args := append(m.arguments(s.options), "--pid", fmt.Sprint(relay.pid()), relay.url)
	return generate(ctx, s.detour, args)
}

// generate runs the load generator and reads its report. A broken stream makes the generator fail, but the
// report says so too, and the table shows it.
func generate(ctx context.Context, detour string, args []string) (*load.Report, error) {
	cmd := exec.CommandContext(ctx, detour, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	failed := cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	report := new(load.Report)
	if err := json.Unmarshal(stdout.Bytes(), report); err != nil {
		return nil, fmt.Errorf("the generator gave no report: %w: %s", failed, bytes.TrimSpace(stderr.Bytes()))
	}
	return report, nil
}

// glance is one measurement in a few words, for whoever is watching.
func glance(r *load.Report) string {
	if r.Idle != nil {
		return fmt.Sprintf("%.0f bytes per idle peer", r.Idle.BytesPerPeer)
	}
	text := fmt.Sprintf("%7.1f Mbit/s, %5.1f%% loss", r.Packets.GoodputMbitPerS, r.Packets.OfferedLossPercent)
	if r.Relay != nil {
		text += fmt.Sprintf(", %5.2f us of CPU per packet", r.Relay.CPUPerPacketUS)
	}
	if q := r.QuietPair; q != nil && q.RoundTrip != nil {
		text += fmt.Sprintf(", quiet pair p50 %.0f us, p99 %.0f us", q.RoundTrip.P50, q.RoundTrip.P99)
	}
	if r.Broken.Frames > 0 {
		text += fmt.Sprintf(", BROKEN: %s", r.Broken.Example)
	}
	if r.Lost.Count > 0 {
		text += fmt.Sprintf(", LOST CONNECTIONS: %s", r.Lost.Example)
	}
	return text
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }
