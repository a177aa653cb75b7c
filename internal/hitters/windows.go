package hitters

import "time"

// lookEvery is the time between two looks.
const lookEvery = 5 * time.Second

// A level counts parts of one length, and keeps those that a window is made of. Time is
// since the beginning of all.
type level struct {
	name   string
	window time.Duration // of what length
	length time.Duration // of a part; the last one of a window may lie in it only with its end
	now    tally         // the part that is counted
	began  time.Duration // when it did
	parts  []*part       // those before, the newest last
}

// newLevels returns those of the windows, the shortest first. A part of one is merged into
// that which the next one counts.
func newLevels() []*level {
	return []*level{
		{name: "minute", window: time.Minute, length: lookEvery},
		{name: "hour", window: time.Hour, length: 5 * time.Minute},
		{name: "day", window: 24 * time.Hour, length: time.Hour},
	}
}

// turn ends the parts that are long enough. A look that comes a little early or late is
// none of a sudden.
func turn(levels []*level, at time.Duration) {
	for i, l := range levels {
		if at-l.began < l.length-lookEvery/2 {
			return // nor are those above, which consist of it
		}
		done := l.now.finish(l.began, at)
		l.now, l.began = tally{}, at
		l.parts = append(l.parts, done)
		for l.parts[0].to <= at-l.window {
			l.parts = append(l.parts[:0], l.parts[1:]...)
		}
		if i+1 < len(levels) {
			levels[i+1].now.merge(done)
		}
	}
}

// pieces returns what the window of a level is made of. The levels below have what its own
// parts do not have yet.
func pieces(levels []*level, window int, at time.Duration) (all []*part) {
	for _, p := range levels[window].parts {
		if p.to > at-levels[window].window {
			all = append(all, p)
		}
	}
	for _, l := range levels[:window+1] {
		all = append(all, l.now.finish(l.began, at))
	}
	return all
}
