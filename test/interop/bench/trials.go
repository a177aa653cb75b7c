package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// trial is a measurement of each relay on its own that is no load from `detour bench`.
type trial struct {
	name    string
	measure func(context.Context, *stage, relayKind) (figures, error)
}

// figures are what one trial of one relay found, by name.
type figures map[string]float64

// The figures that trials find.
const (
	p50MS      = "p50_ms"
	p99MS      = "p99_ms"
	lostShare  = "lost_percent"
	broken     = "broken" // packets repeated, out of their turn or changed, and pairs that were cut off
	endedConns = "ended"  // connections that the relay ended
	residentMB = "resident_mb"
	tookS      = "took_s"
	freshKB    = "fresh_kb"
	usedKB     = "used_kb"
	backShare  = "given_back_percent"
)

// trials are what was found, by the name of the trial and the relay, one a round.
type trials map[string]map[relayKind][]figures

// find makes all rounds of a trial. One relay comes right after the other, so that all see the same machine; which comes first changes.
func (t trial) find(ctx context.Context, s *stage) (found map[relayKind][]figures, failed error) {
	found = map[relayKind][]figures{}
	kinds := []relayKind{ours, sameGo, derper}
	rounds := s.options.rounds
	for round := range rounds {
		for _, kind := range kinds {
			one, err := t.measure(ctx, s, kind)
			if ctx.Err() != nil {
				return found, ctx.Err()
			}
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", kind, err))
				talk("round %d of %d  %-14s %-14s not measured: %v\n", round+1, rounds, t.name, kind, err)
				continue
			}
			found[kind] = append(found[kind], one)
			talk("round %d of %d  %-14s %-14s %s\n", round+1, rounds, t.name, kind, one)
		}
		slices.Reverse(kinds)
	}
	return found, failed
}

// String is the figures in a line.
func (f figures) String() string {
	var words []string
	for name, v := range f {
		words = append(words, fmt.Sprintf("%s %s", strings.ReplaceAll(name, "_", " "), figure(&v, "")))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// sum adds one figure of a relay up, over all trials.
func (t trials) sum(kind relayKind, name string) (sum float64) {
	for _, found := range t {
		for _, one := range found[kind] {
			sum += one[name]
		}
	}
	return sum
}

// median is that of one figure over the rounds, nil if there was none.
func (t trials) median(trial string, kind relayKind, name string) *float64 {
	var all []float64
	for _, one := range t[trial][kind] {
		if v, found := one[name]; found {
			all = append(all, v)
		}
	}
	return middle(all)
}

// trialRow shows one figure of a trial.
func trialRow(name, text, unit string, m mark, trial, figure string) row {
	return beside(row{name: name, text: text, unit: unit, mark: m, needs: []string{trial}, apart: unit == "%"}, ours,
		func(r *results, kind relayKind) *float64 { return r.Trials.median(trial, kind, figure) })
}

// engineTrials are those of the engine, at full size.
func (s *stage) engineTrials(r *results) (all []other) {
	engine := fullEngine()
	engine.during = 2 * s.options.during() // for the sake of percentiles
	for _, t := range engine.trials() {
		all = append(all, other{t.name, func(ctx context.Context) (err error) {
			r.Trials[t.name], err = t.find(ctx, s)
			return err
		}})
	}
	return all
}
