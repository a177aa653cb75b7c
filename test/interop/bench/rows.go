package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/detour-relay/detour/internal/load"
)

// needs are the names of all measurements that rows need.
func needs(rows []row) (names []string) {
	for _, r := range rows {
		names = append(names, r.needs...)
	}
	return names
}

// row is one line of the table.
type row struct {
	name  string
	text  string
	unit  string
	mark  mark
	needs []string // names of measurements
	// figures computes ours and derper's; derper's may be nil where there is nothing to compare with.
	figures func(*results) (ours, derper *float64)
	of      func(*results, relayKind) *float64 // where figures are of one kind of relay each
	apart   bool                               // the figures are compared with the mark only; their ratio says nothing
}

// mark is what a row must reach: a limit on our figure, or on its ratio to derper's.
type mark struct {
	limit   float64
	atLeast bool // else at most
	ratio   bool // of ours to the reference's
	below   bool // the limit itself is not good enough
	none    bool // the row is for information

	reference string // whose figure the ratio is to; empty: derper's
}

func (m mark) text(unit string) string {
	if m.none {
		return "-"
	}
	sign := "<="
	switch {
	case m.atLeast:
		sign = ">="
	case m.below:
		sign = "<"
	}
	if m.ratio {
		return fmt.Sprintf("%s %g x %s", sign, m.limit, cmp.Or(m.reference, string(derper)))
	}
	if unit == "" {
		return fmt.Sprintf("%s %g", sign, m.limit)
	}
	return fmt.Sprintf("%s %g %s", sign, m.limit, unit)
}

func (m mark) reached(figure float64) bool {
	switch {
	case m.atLeast:
		return figure >= m.limit
	case m.below:
		return figure < m.limit
	}
	return figure <= m.limit
}

// allRows is the table, in its order.
func allRows(o options) []row {
	rows := slices.Concat(engineRows(o.before != ""), []row{
		loadRow("loss", "loss at 2 Gbit/s offered, 10 pairs", "%", mark{limit: 0.1}, "2g", loss),
		goRow("lookup-repeated", "lookup of the destination of the packet before", "ns", mark{limit: 5}, lookupRepeated, "ns/op"),
		goRow("lookup-table", "lookup of another destination", "ns", mark{limit: 30}, lookupTable, "ns/op"),
		goRow("lookup-repeated-allocs", "allocations of the first lookup", "", mark{}, lookupRepeated, "allocs/op"),
		goRow("lookup-table-allocs", "allocations of the second lookup", "", mark{}, lookupTable, "allocs/op"),
		goRow("allocs", "allocations per relayed packet, the whole relay, TLS", "", mark{limit: 0.001}, relayTLS, "allocs/packet"),
		stallRow(),
		stallMemoryRow(),
		downloadRow(),
		downloadSameGoRow(),
		wholeRow(),
		shareRow(),
		loadRow("fanin", "goodput, 10 senders to one receiver, as fast as it goes", "Mbit/s", mark{none: true}, "fanin", goodput),
	})
	return slices.Concat(rows, meshRows(), stunRows(), []row{netcheckRow(), nodeMemoryRow()}, frontDoorRows(o.before != ""), coordRows(o), tunnelRows())
}

// The figures of one report; NaN where it has none.

func goodput(r *load.Report) float64 { return r.Packets.GoodputMbitPerS }
func loss(r *load.Report) float64    { return r.Packets.OfferedLossPercent }

func cpu(r *load.Report) float64 {
	if r.Relay == nil {
		return math.NaN()
	}
	return r.Relay.CPUPerPacketUS
}

func peak(r *load.Report) float64 {
	if r.Relay == nil {
		return math.NaN()
	}
	return float64(r.Relay.ResidentPeak) / (1 << 20)
}

func kilobytesPerPeer(r *load.Report) float64 {
	if r.Idle == nil || r.Idle.ResidentAfter == 0 {
		return math.NaN()
	}
	return r.Idle.BytesPerPeer / (1 << 10)
}

func quietP50(r *load.Report) float64 { return quiet(r).P50 }
func quietP99(r *load.Report) float64 { return quiet(r).P99 }

func quiet(r *load.Report) load.RoundTrip {
	if r.QuietPair == nil || r.QuietPair.RoundTrip == nil {
		return load.RoundTrip{P50: math.NaN(), P99: math.NaN()}
	}
	return *r.QuietPair.RoundTrip
}

// median is the median over the rounds, nil if there was none.
func (r *results) median(name string, kind relayKind, figure func(*load.Report) float64) *float64 {
	found := r.find(name, kind)
	if found == nil {
		return nil
	}
	var all []float64
	for _, report := range found.Reports {
		if f := figure(report); !math.IsNaN(f) {
			all = append(all, f)
		}
	}
	return middle(all)
}

func middle(all []float64) *float64 {
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	m := all[len(all)/2]
	if len(all)%2 == 0 {
		m = (m + all[len(all)/2-1]) / 2
	}
	return &m
}

// loadRow compares one figure of one measurement.
func loadRow(name, text, unit string, m mark, measurement string, figure func(*load.Report) float64) row {
	return beside(row{name: name, text: text, unit: unit, mark: m, needs: []string{measurement}, apart: unit == "%"}, ours,
		func(r *results, kind relayKind) *float64 { return r.median(measurement, kind, figure) })
}

// beside has a row compare a figure of a relay of ours with derper's.
func beside(r row, mine relayKind, of func(*results, relayKind) *float64) row {
	r.of = of
	r.figures = func(found *results) (*float64, *float64) { return of(found, mine), of(found, derper) }
	return r
}

// bothGo has each row followed by one of ours as derper's Go builds it.
func bothGo(rows ...row) (all []row) {
	for _, r := range rows {
		same := beside(r, sameGo, r.of)
		same.name += "-same-go"
		same.text += "; built with derper's Go"
		all = append(all, r, same)
	}
	return all
}

// quotientRow is about how one measurement's figure compares with another's of the same relay.
func quotientRow(name, text, unit string, m mark, over, under string, figure func(*load.Report) float64, combine func(over, under float64) float64) row {
	return beside(row{name: name, text: text, unit: unit, mark: m, needs: []string{over, under}, apart: true}, ours, func(r *results, kind relayKind) *float64 {
		a, b := r.median(over, kind, figure), r.median(under, kind, figure)
		if a == nil || b == nil || *b == 0 {
			return nil
		}
		c := combine(*a, *b)
		return &c
	})
}

func scaleRow() row {
	return quotientRow("scale", "goodput with 100 pairs / with 10 pairs, as fast as it goes", "", mark{limit: 0.95, atLeast: true},
		"max-100", "max", goodput, func(a, b float64) float64 { return a / b })
}

func stallRow() row {
	return quotientRow("stall", "goodput that 9 pairs lose beside a receiver that never reads", "%", mark{limit: 5, below: true},
		"nine-stalled", "nine", goodput, func(a, b float64) float64 { return 100 * (1 - a/b) })
}

// stallMemoryLimit is what the stalled receiver may add to the relay's resident size at most: its outbox and
// room for the garbage collector to be late with it.
const stallMemoryLimit = 16

func stallMemoryRow() row {
	return quotientRow("stall-memory", "resident memory that a receiver that never reads adds", "MB", mark{limit: stallMemoryLimit},
		"nine-stalled", "nine", peak, func(a, b float64) float64 { return a - b })
}

// wholeRow counts what must never happen, over everything that was measured.
func wholeRow() row {
	count := func(r *results, kind relayKind) *float64 {
		sum := r.Trials.sum(kind, broken)
		for _, one := range r.Loads {
			if one.Relay != string(kind) {
				continue
			}
			for _, report := range one.Reports {
				sum += float64(report.Broken.Streams + report.Lost.Count)
				if q := report.QuietPair; q != nil {
					sum += float64(q.Broken.Streams)
				}
			}
		}
		if len(r.Loads)+len(r.Trials) == 0 {
			return nil
		}
		return &sum
	}
	return beside(row{name: "whole", text: "streams broken, reordered or cut off, in all measurements", mark: mark{limit: 0}, apart: true}, ours, count)
}
