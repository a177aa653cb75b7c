package paths

import (
	"net/netip"
	"slices"
	"time"

	"github.com/detour-relay/detour/internal/rate"
)

const (
	mostCandidates = 32
	mostNamed      = 12 // that are taken of one call

	namedMemory  = 10 * time.Minute // of a candidate that was named
	heardMemory  = 2 * time.Minute  // of one that a ping came from
	provenMemory = time.Minute      // for so long an answer makes a candidate proven

	narrowAfter = 3 // pings of full size without an answer where small ones have one
)

// never happened.
const long = time.Duration(-1 << 62)

// A candidate is an address where the peer may be.
type candidate struct {
	addr  netip.AddrPort
	named bool          // by the peer, and no ping came from there
	heard time.Duration // when it was last named, or a ping came from there

	asked  rate.Bucket // while it is not proven
	back   rate.Bucket // likewise: because a ping came from there
	proved time.Duration
	full   time.Duration // when a ping of full size was sent that it has answered

	rtts   [4]time.Duration // of the last answers
	n      int
	silent int  // pings of full size since the last answer to one
	narrow bool // carries small packets only
}

func (c *candidate) isProven(now time.Duration) bool { return now-c.proved < provenMemory }

// rtt is the shortest of the last answers: what is longer waited in some queue.
func (c *candidate) rtt() time.Duration { return slices.Min(c.rtts[:max(1, min(c.n, len(c.rtts)))]) }

// usual is how long an answer takes, at worst.
func (c *candidate) usual() time.Duration {
	return min(slices.Max(c.rtts[:])*2+150*time.Millisecond, 1500*time.Millisecond)
}

func (c *candidate) answered(took time.Duration) {
	c.rtts[c.n%len(c.rtts)] = took
	c.n++
}

// isBetter reports whether c is worth leaving d for. Of no two candidates each is better
// than the other.
func (c *candidate) isBetter(d *candidate) bool {
	margin := 2*time.Millisecond + max(c.rtt(), d.rtt())/10
	switch six := c.addr.Addr().Is6(); {
	case six == d.addr.Addr().Is6():
		return c.rtt()+margin < d.rtt()
	case six:
		return c.rtt() <= d.rtt()+margin/2
	default:
		return c.rtt()+2*margin < d.rtt()
	}
}

// candidates are those of a peer.
type candidates []*candidate

func (cs candidates) find(a netip.AddrPort) *candidate {
	for _, c := range cs {
		if c.addr == a {
			return c
		}
	}
	return nil
}

// add notes that the peer may be at an address, and reports whether that is new; nil:
// there is no room.
func (cs *candidates) add(now time.Duration, a netip.AddrPort, named bool) (c *candidate, isNew bool) {
	if c = cs.find(a); c != nil {
		c.heard, c.named = now, c.named && named
		return c, false
	}
	if len(*cs) == mostCandidates && !cs.evict(now) {
		return nil, false
	}
	c = &candidate{addr: a, named: named, heard: now, proved: long, full: long}
	*cs = append(*cs, c)
	return c, true
}

// evict forgets the candidate that was heard of first, of those that may be forgotten.
func (cs *candidates) evict(now time.Duration) bool {
	oldest := -1
	for i, c := range *cs {
		memory := heardMemory
		if c.named {
			memory = namedMemory
		}
		if now-c.heard >= memory && now-c.proved >= memory && (oldest < 0 || c.heard < (*cs)[oldest].heard) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	*cs = slices.Delete(*cs, oldest, oldest+1)
	return true
}
