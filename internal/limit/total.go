package limit

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"
)

// A total is what all keys share. The zero value limits nothing.
type total struct {
	rate   atomic.Int64         // bytes a second; 0: no limit
	line   atomic.Pointer[line] // nil: no limit
	active atomic.Pointer[Key]  // who has used something since the line was drawn, or owes something; by Key.next

	busy atomic.Bool // somebody draws a line, and owns what follows

	demands []int64 // bytes a second of those who did not rest
	saved   int64   // bytes that could have been used and were not; below zero: too many were
	last    int64   // mark of the last line
}

// A line is how the mark rises for the next few milliseconds.
type line struct {
	at    int64 // when it was drawn
	mark  int64 // bytes, at that time
	slope int64 // bytes a second
	until int64 // when the next one is due
}

const (
	// lineFor is how long a line is good at least, and perKey how much longer for each
	// key that is active: drawing one visits them all.
	lineFor = int64(10 * time.Millisecond)
	perKey  = int64(20 * time.Microsecond)

	// After longestLine without anybody, nothing is saved up any more.
	longestLine = int64(time.Second)

	// spare is what a key may use at once, however small its share is; spareFor is as
	// much of its share as it may.
	spare    = 128 << 10
	spareFor = int64(20 * time.Millisecond)

	// restless is how many lines a key that has rested counts as one that wants more:
	// it may have waked up, and not have read again, when the next one is drawn.
	restless = 2
)

// unlimited is a mark above all tags.
const unlimited = math.MaxInt64

// markAt returns the mark at the time given.
func (l *line) markAt(now int64) int64 {
	return l.mark + bytesIn(min(max(now-l.at, 0), longestLine), l.slope)
}

func bytesIn(nanoseconds, perSecond int64) int64 {
	return int64(float64(nanoseconds) * float64(perSecond) / 1e9)
}

// set makes perSecond the total from now on; 0: none.
func (t *total) set(perSecond, now int64) {
	for t.busy.Swap(true) {
		runtime.Gosched()
	}
	defer t.busy.Store(false)
	perSecond = min(max(perSecond, 0), fastest)
	if t.rate.Swap(perSecond) == perSecond {
		return
	}
	if before := t.line.Load(); before != nil {
		t.last = before.markAt(now)
	}
	t.saved = 0
	if perSecond == 0 {
		t.line.Store(nil)
		return
	}
	t.line.Store(&line{at: now, mark: t.last, slope: perSecond, until: now})
}

// charge notes that k has used n bytes, and returns what it owes.
func (t *total) charge(k *Key, n int, now int64) (rest time.Duration, perSecond int64) {
	l := t.line.Load()
	if l == nil {
		return 0, 0
	}
	k.used.Add(int64(n))
	if !k.listed.Load() && !k.listed.Swap(true) {
		t.list(k)
	}
	k.raise(l.markAt(now)-max(spare, bytesIn(spareFor, l.slope)), int64(n))
	if now >= l.until {
		l = t.draw(l, now)
	}
	if rest = l.owes(k, now); rest > 0 {
		k.restless.Store(restless)
	}
	return rest, l.slope
}

// raise puts the tag n above where it was, or above least.
func (k *Key) raise(least, n int64) {
	for {
		tag := k.tag.Load()
		if k.tag.CompareAndSwap(tag, max(tag, least)+n) {
			return
		}
	}
}

// owes returns how long the mark takes to rise to the tag of k.
func (l *line) owes(k *Key, now int64) time.Duration {
	over := k.tag.Load() - l.markAt(now)
	if over <= 0 {
		return 0
	}
	return time.Duration(nanoseconds(over, l.slope))
}

// list notes that k is active. Its flag says that nobody else does so.
func (t *total) list(k *Key) {
	for {
		k.next = t.active.Load()
		if t.active.CompareAndSwap(k.next, k) {
			return
		}
	}
}

// draw replaces a line whose time is over, unless somebody else does.
func (t *total) draw(before *line, now int64) *line {
	if t.busy.Swap(true) {
		return before
	}
	defer t.busy.Store(false)
	before = t.line.Load()
	if before == nil { // the total has been taken away
		return &line{mark: unlimited}
	}
	if now < before.until {
		return before
	}
	perSecond := t.rate.Load()
	mark := before.markAt(now)
	took := min(max(now-before.at, 1), longestLine)
	used, greedy := t.look(mark, took)
	t.saved = min(max(t.saved+bytesIn(took, perSecond)-used, -perSecond/4), perSecond/20)
	keys := int64(greedy + len(t.demands))
	next := &line{at: now, mark: mark, slope: t.share(perSecond, greedy), until: now + max(lineFor, perKey*keys)}
	t.line.Store(next)
	return next
}

// look visits who was active since the last line: how much all have used, how many
// want more than they get, and what the others want.
func (t *total) look(mark, took int64) (used int64, greedy int) {
	t.demands = t.demands[:0]
	for k := t.active.Swap(nil); k != nil; {
		next := k.next
		n := k.used.Swap(0)
		used += n
		left := k.restless.Load()
		switch {
		case k.tag.Load() > mark:
			greedy++
			t.list(k)
		case left > 0:
			greedy++
			k.restless.CompareAndSwap(left, left-1)
			t.list(k)
		default:
			k.listed.Store(false)
			t.demands = append(t.demands, int64(float64(n)*1e9/float64(took)))
		}
		k = next
	}
	return used, greedy
}

// share returns what each key may use of the total: as much as it leaves to the
// greedy ones when the others have what they want. Who wants more than that is
// greedy, too.
func (t *total) share(perSecond int64, greedy int) int64 {
	all := min(max(perSecond+4*t.saved, perSecond*4/5), perSecond*5/4)
	keys := int64(max(1, greedy+len(t.demands)))
	share := all / keys
	for {
		left, wanting, most := all, int64(greedy), int64(0)
		for _, d := range t.demands {
			if d > share {
				wanting++
				continue
			}
			left -= d
			most = max(most, d)
		}
		if wanting == 0 { // all have what they want; any of them may have the rest, too
			return max(min(most+left, perSecond), 1)
		}
		if left/wanting <= share {
			return max(share, 1)
		}
		share = left / wanting
	}
}
