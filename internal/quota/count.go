package quota

import (
	"math"
	"slices"
	"time"
)

// A Usage is what a process has relayed so far, in bytes of whole frames. It only
// grows.
type Usage struct{ In, Out uint64 }

// A count is what has been counted in a month. It is what is on disk.
type count struct {
	Version int         `json:"version"`
	Month   time.Time   `json:"month"`  // when it began
	Begun   []time.Time `json:"begun"`  // months that do not begin again, the newest last
	Resets  uint64      `json:"resets"` // how often it began anew
	Day     int         `json:"day"`    // of the month on which months begin

	In  uint64 `json:"in"`
	Out uint64 `json:"out"`

	// The marks that people have been told of in this month; 0: none.
	ToldSoft int64 `json:"told_soft"`
	ToldHard int64 `json:"told_hard"`
}

const (
	version = 1

	// remembered is how many months a count knows to have begun.
	remembered = 24
)

// newCount begins to count in the middle of a month.
func newCount(now time.Time, day int) count {
	month := monthOf(now, day)
	return count{Version: version, Month: month, Begun: []time.Time{month}, Day: day}
}

// monthOf returns when the month of now began.
func monthOf(now time.Time, day int) time.Time {
	now = now.UTC()
	month := time.Date(now.Year(), now.Month(), day, 0, 0, 0, 0, time.UTC)
	if month.After(now) {
		month = time.Date(now.Year(), now.Month()-1, day, 0, 0, 0, 0, time.UTC)
	}
	return month
}

// next returns when the month after that of now begins.
func next(now time.Time, day int) time.Time {
	month := monthOf(now, day)
	return time.Date(month.Year(), month.Month()+1, day, 0, 0, 0, 0, time.UTC)
}

// turn begins a new month if it is time, and reports whether it was.
func (c *count) turn(now time.Time, day int) bool {
	month := monthOf(now, day)
	before := c.Month
	c.Month = month
	if day != c.Day { // months have other borders now, but this one goes on
		c.Day, c.Begun = day, []time.Time{month}
		return false
	}
	if !month.After(before) || slices.ContainsFunc(c.Begun, month.Equal) {
		return false
	}
	// Those that lie ahead began when the clock was wrong.
	begun := slices.DeleteFunc(c.Begun, month.Before)
	begun = append(begun, month)
	c.Begun = begun[max(0, len(begun)-remembered):]
	c.Resets++
	c.In, c.Out, c.ToldSoft, c.ToldHard = 0, 0, 0, 0
	return true
}

// plus returns c with what another process or this one has counted besides.
func (c count) plus(u Usage) count {
	c.In, c.Out = sum(c.In, u.In), sum(c.Out, u.Out)
	return c
}

// sum stops where an int64 does.
func sum(a, b uint64) uint64 {
	a, b = min(a, math.MaxInt64), min(b, math.MaxInt64)
	return min(a+b, math.MaxInt64)
}

// join returns what is on disk together with what this process has counted since it
// last looked there. Whoever has reset more often knows of a newer month.
func join(disk, mine count, delta Usage) count {
	switch {
	case disk.Resets < mine.Resets:
		return mine.plus(delta)
	case disk.Resets > mine.Resets:
		return disk.plus(delta)
	}
	mine.In, mine.Out = disk.In, disk.Out
	mine.ToldSoft, mine.ToldHard = max(mine.ToldSoft, disk.ToldSoft), max(mine.ToldHard, disk.ToldHard)
	return mine.plus(delta)
}
