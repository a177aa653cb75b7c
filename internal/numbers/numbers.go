// Package numbers is what tables of a server's numbers are made of: what each number is
// called, how it moves, in which unit, and what it means.
//
// The tables themselves are where the numbers are: internal/admin has the relay's,
// internal/coordserver the coordinator's. What shows numbers to people or to Prometheus
// walks over them and knows no number by itself.
//
// # Names
//
// detour_NAME_UNIT is the whole name of a number, with _total at the end of what only
// grows: "received_bytes", a counter of bytes, is detour_received_bytes_total.
package numbers

import (
	"maps"
	"slices"
	"strings"
)

// A Kind is how a number moves.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"   // only grows, from the start of the process
	Gauge     Kind = "gauge"     // now
	Histogram Kind = "histogram" // how many fell into each range, from the start of the process
)

// A Metric is one number of a server whose state is an S, or one for each value of a
// label. Labels have few values, known beforehand: never keys, addresses or groups.
type Metric[S any] struct {
	Name  string // without unit; stable
	Kind  Kind
	Unit  string // "bytes" or "seconds"; empty: a count of what the name says
	Help  string
	Label string // what the values are told apart by; empty: there is one

	// Values says all values: with an empty label, if Label is empty. Of a histogram it
	// says how many there were.
	Values func(s *S, say func(label string, value float64))

	// Ranges returns a histogram, and false if there is none; nil for the other kinds.
	Ranges func(s *S) (Ranges, bool)
}

// Ranges are how many fell into each.
type Ranges struct {
	Bounds []float64 // upper ones, which belong to their range, ascending
	Counts []uint64  // one more than there are bounds; not cumulative
	Sum    float64   // of all that was counted
}

// Count is how many there were.
func (r Ranges) Count() (n uint64) {
	for _, in := range r.Counts {
		n += in
	}
	return n
}

// FullName is what the number is called outside.
func (m Metric[S]) FullName() string {
	name := "detour_" + m.Name
	if m.Unit != "" && !strings.HasSuffix(name, "_"+m.Unit) {
		name += "_" + m.Unit
	}
	if m.Kind == Counter {
		name += "_total"
	}
	return name
}

// A Sum holds between numbers whenever nothing is under way.
type Sum[S any] struct {
	Text  string
	Holds func(*S) bool
}

// Grows is a counter.
func Grows[S any](name, help string, value func(*S) uint64) Metric[S] {
	return Metric[S]{Name: name, Kind: Counter, Help: help, Values: func(s *S, say func(string, float64)) { say("", float64(value(s))) }}
}

// Now is a gauge.
func Now[S any](name, unit, help string, value func(*S) float64) Metric[S] {
	return Metric[S]{Name: name, Kind: Gauge, Unit: unit, Help: help, Values: func(s *S, say func(string, float64)) { say("", value(s)) }}
}

// By is a counter for each value of a label.
func By[S any](label, name, help string, values func(*S) map[string]uint64) Metric[S] {
	return Metric[S]{Name: name, Kind: Counter, Help: help, Label: label, Values: func(s *S, say func(string, float64)) {
		all := values(s)
		for _, value := range slices.Sorted(maps.Keys(all)) {
			say(value, float64(all[value]))
		}
	}}
}

// Spread is a histogram.
func Spread[S any](name, unit, help string, ranges func(*S) Ranges) Metric[S] {
	return Metric[S]{
		Name: name, Kind: Histogram, Unit: unit, Help: help,
		Values: func(s *S, say func(string, float64)) { say("", float64(ranges(s).Count())) },
		Ranges: func(s *S) (Ranges, bool) { return ranges(s), true },
	}
}

// When leaves a metric without values unless the state has the part that it is of.
func When[S any](has func(*S) bool, m Metric[S]) Metric[S] {
	values, ranges := m.Values, m.Ranges
	m.Values = func(s *S, say func(string, float64)) {
		if has(s) {
			values(s, say)
		}
	}
	if ranges != nil {
		m.Ranges = func(s *S) (Ranges, bool) {
			if !has(s) {
				return Ranges{}, false
			}
			return ranges(s)
		}
	}
	return m
}

// Truth is 1 for what is so.
func Truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
