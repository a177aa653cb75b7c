package pair

import (
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

const (
	// triesInRegion is how often something is said in one region before it is said in the
	// next, and firstRest how long there is between: a connection may have to be made.
	triesInRegion = 3
	firstRest     = 500 * time.Millisecond

	// What is said in vain everywhere is said ever more rarely, down to that: a guest
	// waits for somebody who looks at a screen; a peer that is switched off tells us where
	// it is when it is back.
	mostHelloRest = 4 * time.Second
	mostTellRest  = 5 * time.Minute
)

// A call is repeated until it is answered, in one region after the other: nobody says
// where the other side has gone.
type call struct {
	regions []int // the likeliest first
	times   int
	next    time.Time
	rest    retry.Backoff
	pause   time.Duration // of this round
	over    bool
}

// newCall begins at once.
func (p *Pair) newCall(likeliest int, most time.Duration) call {
	ids := p.regions.IDs()
	if i := slices.Index(ids, likeliest); i > 0 {
		ids = slices.Insert(slices.Delete(ids, i, i+1), 0, likeliest)
	}
	return call{regions: ids, rest: retry.Backoff{First: firstRest, Most: most}}
}

// due is the region to call in now; false: it is not time yet.
func (c *call) due(now time.Time) (region int, ok bool) {
	if c.over || now.Before(c.next) {
		return 0, false
	}
	if c.times%(triesInRegion*len(c.regions)) == 0 {
		c.pause = c.rest.Next()
	}
	region = c.regions[c.times/triesInRegion%len(c.regions)]
	c.times++
	c.next = now.Add(c.pause)
	return region, true
}
