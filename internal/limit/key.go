package limit

import (
	"sync/atomic"
	"time"
)

// A Key is what is known of one that something limits. All members share it.
type Key struct {
	keys *Keys                // set once
	rule atomic.Pointer[rule] // nil: only the total limits it

	in, out bucket

	tag      atomic.Int64 // total.go
	used     atomic.Int64 // since the line was drawn
	restless atomic.Int32 // for so many lines it has wanted more
	listed   atomic.Bool  // it is in total.active
	next     *Key         // in total.active; owned by whoever listed it, then by who draws

	rested atomic.Int64 // nanoseconds, all members together

	id      [32]byte // set once
	members int      // guarded by Keys.mu, as all below
	leaving bool     // it is in Keys.leaving
	until   int64    // forgotten then at the latest
}

// A Reason is what makes somebody rest.
type Reason uint8

// The reasons.
const (
	ByIn      Reason = iota // the rate from a key
	ByOut                   // the rate to a key
	ByTotal                 // the key's share of the total
	ByNothing               // frames that bring no packet (Idle)
	Reasons
)

func (r Reason) String() string { return [Reasons]string{"in", "out", "total", "nothing"}[r] }

// A Rest is how long somebody is to rest, and why.
type Rest struct {
	For  time.Duration // 0: not at all
	Why  Reason
	Rate int64 // bytes a second that are being paid
}

// Or returns the longer rest.
func (r Rest) Or(other Rest) Rest {
	if other.For > r.For {
		return other
	}
	return r
}

// In charges n bytes that have come from the key, and returns how long it is to
// rest. A nil Key is not limited, here and below.
func (k *Key) In(n int, now int64) (rest Rest) {
	if k == nil {
		return Rest{}
	}
	if r := k.rule.Load(); r != nil && r.in.perSecond > 0 {
		k.in.charge(r.in, n, now)
		rest = Rest{k.in.owes(r.in, now), ByIn, r.in.perSecond}
	}
	if k.keys.total.line.Load() != nil {
		owes, share := k.keys.total.charge(k, n, now)
		rest = rest.Or(Rest{owes, ByTotal, share})
	}
	return rest
}

// Out charges n bytes that are on their way to the key, and returns how long who has
// sent them is to rest.
func (k *Key) Out(n int, now int64) Rest {
	if k == nil {
		return Rest{}
	}
	r := k.rule.Load()
	if r == nil || r.out.perSecond == 0 {
		return Rest{}
	}
	k.out.charge(r.out, n, now)
	return Rest{fairly(k.out.owes(r.out, now), n, r.out.perSecond), ByOut, r.out.perSecond}
}

// fairly is how long one of those who send to a key is to rest for n bytes, when all
// together owe so much. As long as that is little, he waits for all of it. Beyond, the
// more is owed the longer he rests for each byte of his own: so the rate is kept
// however many send, and who sends little to a key that others flood is not held up
// until they have paid.
func fairly(owes time.Duration, n int, perSecond int64) time.Duration {
	little := time.Duration(nanoseconds(Smallest, perSecond))
	if owes <= little {
		return owes
	}
	own := float64(n) / Smallest * float64(owes)
	return min(owes, max(little, time.Duration(own)))
}

// Owes returns how much longer the key is to rest.
func (k *Key) Owes(now int64) time.Duration {
	if k == nil {
		return 0
	}
	owes := time.Duration(0)
	if r := k.rule.Load(); r != nil {
		owes = k.in.owes(r.in, now)
	}
	if l := k.keys.total.line.Load(); l != nil {
		owes = max(owes, l.owes(k, now))
	}
	return owes
}

// OwesOut returns how much longer those are to rest who send to the key.
func (k *Key) OwesOut(now int64) time.Duration {
	if k == nil {
		return 0
	}
	if r := k.rule.Load(); r != nil {
		return k.out.owes(r.out, now)
	}
	return 0
}

// Rested notes that a member has rested for so long.
func (k *Key) Rested(d time.Duration) {
	if k != nil {
		k.rested.Add(int64(d))
	}
}

// State returns what limits the key, and how long its members have rested.
func (k *Key) State() (Limits, time.Duration) {
	if k == nil {
		return Limits{}, 0
	}
	return k.rule.Load().limits(), time.Duration(k.rested.Load())
}

// follow makes r what limits the key. Its buckets are full again.
func (k *Key) follow(r *rule) {
	before := k.rule.Swap(r)
	if before.limits() == r.limits() {
		return
	}
	k.in.full.Store(0)
	k.out.full.Store(0)
}

// owesAnything reports whether the key has more to rest, or has used part of its
// burst: who comes back must not find it full.
func (k *Key) owesAnything(now int64) bool {
	return k.in.full.Load() > now || k.out.full.Load() > now || k.Owes(now) > 0
}
