package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// stunLoad is a way to ask a relay's STUN responder.
type stunLoad struct {
	name            string
	sockets, window int // the window is of each socket
}

var stunLoads = []stunLoad{
	{name: "loaded", sockets: 16, window: 8}, // less than what the default socket buffer holds, so that nothing is lost
	{name: "singly", sockets: 1, window: 1},
}

const stunLead = 300 * time.Millisecond // of load before anything is measured

// stunReport is what one load found in one round.
type stunReport struct {
	Answers    int     `json:"answers"`
	Lost       int     `json:"lost"`
	PerS       float64 `json:"answers_per_s"`
	CPUPercent float64 `json:"cpu_percent"` // of one core
	CPUUS      float64 `json:"cpu_per_answer_us"`
	Allocs     float64 `json:"allocs_per_answer"` // ours only
}

// stunReports are by load and relay, one for each round.
type stunReports map[string]map[relayKind][]*stunReport

// stunAnswers asks both relays, in turns as measureLoads has it.
func (s *stage) stunAnswers(ctx context.Context) (stunReports, error) {
	all := stunReports{}
	for _, load := range stunLoads {
		all[load.name] = map[relayKind][]*stunReport{}
	}
	relays := []relayKind{ours, derper}
	for range s.options.rounds {
		for _, kind := range relays {
			if err := s.stunRound(ctx, kind, all); err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
		}
		slices.Reverse(relays)
	}
	return all, nil
}

// stunRound starts a relay and asks it in each way.
func (s *stage) stunRound(ctx context.Context, kind relayKind, all stunReports) error {
	relay, addr, err := s.startWithSTUN(ctx, kind, s.dir)
	if err != nil {
		return err
	}
	defer relay.kill() // derper would take five seconds to end by itself
	for _, load := range stunLoads {
		found, err := load.measure(ctx, relay, addr, time.Duration(s.options.seconds)*time.Second/2)
		if err != nil {
			return err
		}
		talk("  %-7s %-7s %7.0f answers/s, %5.2f us of CPU per answer, %3.0f %% of one core, %d lost\n",
			load.name, kind, found.PerS, found.CPUUS, found.CPUPercent, found.Lost)
		all[load.name][kind] = append(all[load.name][kind], found)
	}
	return ctx.Err()
}

// startWithSTUN starts a relay that also answers STUN, at the address.
func (s *stage) startWithSTUN(ctx context.Context, kind relayKind, dir string) (*relay, netip.AddrPort, error) {
	listen, err := freeAddr()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	free, err := freeAddr()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	addr := netip.MustParseAddrPort(free)
	args := []string{"--stun", free}
	if kind == derper {
		args = []string{"-stun", "-stun-port", fmt.Sprint(addr.Port())}
	}
	r, err := s.startAt(ctx, kind, listen, dir, args...)
	return r, addr, err
}

// measure asks for so long.
func (l stunLoad) measure(ctx context.Context, relay *relay, addr netip.AddrPort, d time.Duration) (*stunReport, error) {
	all, err := newAskers(addr, l.sockets, l.window)
	if err != nil {
		return nil, err
	}
	defer all.close()
	if _, err := all.run(stunLead); err != nil {
		return nil, err
	}
	var answered, lost int
	used, err := relay.during(ctx, func() (err error) {
		before := all.lost()
		answered, err = all.run(d)
		lost = all.lost() - before
		return err
	})
	if err == nil && answered == 0 {
		err = fmt.Errorf("no answers from %v", addr)
	}
	if err != nil {
		return nil, err
	}
	return &stunReport{
		Answers: answered, Lost: lost, PerS: float64(answered) / used.took.Seconds(),
		CPUPercent: 100 * used.cpu.Seconds() / used.took.Seconds(),
		CPUUS:      1e6 * used.cpu.Seconds() / float64(answered),
		Allocs:     used.allocs / float64(answered),
	}, nil
}

// stunRows are the lines about STUN.
func stunRows() []row {
	return []row{
		stunRow("stun-rate", "STUN answers per second, as fast as it goes", "/s", mark{limit: 1.2, atLeast: true, ratio: true}, stunLoads[0],
			func(r *stunReport) float64 { return r.PerS }),
		stunRow("stun-cpu", "CPU per STUN answer, as fast as it goes", "us", mark{limit: 0.8, ratio: true}, stunLoads[0], stunCPU),
		stunRow("stun-cpu-singly", "CPU per STUN answer, one client that asks one thing after the other", "us", mark{limit: 0.8, ratio: true}, stunLoads[1], stunCPU),
		ourStunRow("stun-allocs", "allocations per STUN answer, the whole relay", "", mark{limit: 0.001}, stunLoads[0],
			func(r *stunReport) float64 { return r.Allocs }),
	}
}

func stunCPU(r *stunReport) float64 { return r.CPUUS }

// stunRow compares one figure of one load.
func stunRow(name, text, unit string, m mark, load stunLoad, figure func(*stunReport) float64) row {
	return row{
		name: name, text: text, unit: unit, mark: m, needs: []string{stunAnswering},
		figures: func(r *results) (*float64, *float64) {
			of := r.STUN[load.name]
			return middleOf(of[ours], figure), middleOf(of[derper], figure)
		},
	}
}

// ourStunRow is stunRow without the reference.
func ourStunRow(name, text, unit string, m mark, load stunLoad, figure func(*stunReport) float64) row {
	r := stunRow(name, text, unit, m, load, figure)
	both := r.figures
	r.figures = func(results *results) (*float64, *float64) {
		figure, _ := both(results)
		return figure, nil
	}
	return r
}

// middleOf is the median of one figure of all reports, nil if there is none.
func middleOf[T any](reports []T, figure func(T) float64) *float64 {
	var all []float64
	for _, r := range reports {
		all = append(all, figure(r))
	}
	return middle(all)
}
