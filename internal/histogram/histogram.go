// Package histogram counts how large values are, in buckets that are fixed from the
// start. Many may add at once; nobody takes a lock and nothing is allocated.
package histogram

import "sync/atomic"

// MostBounds is how many bounds a histogram may have.
const MostBounds = 16

// A Histogram counts values into buckets. It must not be copied, and is ready after
// Init.
type Histogram struct {
	bounds []int64 // set once
	counts [MostBounds + 1]atomic.Uint64
	sum    atomic.Int64
}

// A Snapshot is a histogram at one moment. What others add meanwhile may be in the
// counts and not yet in the sum, or the other way round.
type Snapshot struct {
	Bounds []float64 // of the buckets, upwards, each of which its bucket still has
	Counts []uint64  // values in each bucket; one more, for what is above the last bound
	Sum    float64   // of all values
}

// Init sets the bounds of the buckets, which go upwards.
func (h *Histogram) Init(bounds ...int64) {
	if len(bounds) > MostBounds {
		panic("histogram: more bounds than there is room for")
	}
	h.bounds = bounds
}

// Add counts a value n times. Those who count often add what they have gathered: each
// call costs two writes to memory that all of them share.
func (h *Histogram) Add(value int64, n int) {
	h.Count(value, n)
	h.sum.Add(value * int64(n))
}

// Count is Add without the sum, for those who know it anyway.
func (h *Histogram) Count(value int64, n int) {
	i := 0
	for i < len(h.bounds) && value > h.bounds[i] {
		i++
	}
	h.counts[i].Add(uint64(n))
}

// AddSum is what Count leaves out.
func (h *Histogram) AddSum(values int64) { h.sum.Add(values) }

// Snapshot returns what has been counted. The values are given in units of so many of
// those that were added.
func (h *Histogram) Snapshot(unit float64) (s Snapshot) {
	h.AddTo(&s, unit)
	return s
}

// Zeroed is a snapshot with the same bounds and no values, in the memory of s.
func (s Snapshot) Zeroed() Snapshot {
	clear(s.Counts)
	return Snapshot{Bounds: s.Bounds, Counts: s.Counts}
}

// AddTo adds what has been counted to a snapshot of the same bounds and unit, or to an
// empty one.
func (h *Histogram) AddTo(s *Snapshot, unit float64) {
	if s.Counts == nil {
		s.Counts, s.Bounds = make([]uint64, len(h.bounds)+1), make([]float64, len(h.bounds))
		for i, bound := range h.bounds {
			s.Bounds[i] = float64(bound) / unit
		}
	}
	for i := range s.Counts {
		s.Counts[i] += h.counts[i].Load()
	}
	s.Sum += float64(h.sum.Load()) / unit
}

// OneTwoFive returns the bounds 1, 2, 5, 10, 20, 50, ... times from, up to to.
func OneTwoFive(from, to int64) (bounds []int64) {
	for ; from <= to; from *= 10 {
		for _, step := range [...]int64{from, 2 * from, 5 * from} {
			if step <= to {
				bounds = append(bounds, step)
			}
		}
	}
	return bounds
}
