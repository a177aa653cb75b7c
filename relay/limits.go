package relay

import (
	"errors"
	"math"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/ledger"
	"github.com/detour-relay/detour/internal/limit"
	"github.com/detour-relay/detour/key"
)

// What a peer may use is charged once for each burst, after it was relayed
// (ingest). Who owes something is not read until it is paid, and TCP tells the
// peer; nothing is read to be dropped. Meanwhile the conn holds no chunk. Siblings are
// neither charged nor made to wait, and what they forward is not charged to those who
// get it.

// Limits say how many bytes a second may come from a key and go to it, all conns
// and whole frames counted. 0: no limit; less than 8,000 counts as so many.
//
// The relay tells peers of In, and honest ones keep to it: what does not fit they
// drop themselves (spec 7.6). Out is kept by not reading those who send to the
// key, whoever else they send to.
type Limits struct {
	In  int64 `json:"in"`
	Out int64 `json:"out"`

	// Burst is how many bytes may pass at once after a rest, in each direction; at
	// least one largest frame, 65,573 bytes. 0: a second's worth.
	Burst int64 `json:"burst"`
}

// LimitRules say what limits whom.
type LimitRules struct {
	Keys   Limits            // each key
	Groups map[string]Limits // instead of Keys for those of these groups (Admission.Group)
	Total  int64             // bytes a second from all keys together, shared fairly; 0: no limit
}

// SetLimits makes r the rules, for those who are here and those who come. Admissions
// with Limits of their own keep them. Bursts are whole again where limits change.
func (s *Server) SetLimits(r LimitRules) {
	s.limiting.Lock()
	defer s.limiting.Unlock()
	rules := limit.Rules{Each: limit.Limits(r.Keys), Total: r.Total, Groups: make(map[string]limit.Limits, len(r.Groups))}
	for name, l := range r.Groups {
		rules.Groups[name] = limit.Limits(l)
	}
	s.limits.Set(rules, s.now())
	for c := range s.routes.all {
		c.applyLimits()
	}
}

// applyLimits has a registered conn follow the rules, and tells its peer if they
// are not what it was told.
func (c *conn) applyLimits() {
	if c.sibling {
		return
	}
	limits, changed := c.server.limits.Apply(&c.limits, c.key, c.group.Name(), c.server.now())
	if !changed {
		return
	}
	box := c.server.cfg.Key.Box(c.key)
	if c.out.pushControl(derp.AppendServerInfo(nil, &box, serverInfo(limits)), c.controlLimit()) {
		c.out.flush(nil, c.out.page)
	}
}

// answer is what the peer is told when it has logged in.
func (c *conn) answer(box *key.Box) []byte {
	var limits limit.Limits
	if !c.sibling {
		limits = c.server.limits.Tell(&c.limits, c.group.Name())
	}
	return derp.AppendServerInfo(nil, box, serverInfo(limits))
}

func serverInfo(l limit.Limits) derp.ServerInfo {
	perSecond, burst := l.Told()
	return derp.ServerInfo{Version: derp.ProtocolVersion, TokenBucketBytesPerSecond: int(perSecond), TokenBucketBytesBurst: int(burst)}
}

// errRest ends the reading of a conn that owes something, for now.
var errRest = errors.New("relay: more used than may be")

const (
	// shortestRest is worth the trouble. What is owed for less waits for more.
	shortestRest = time.Millisecond

	// restLook is how often a conn that rests looks whether it has ended, or its limits
	// have.
	restLook = 200 * time.Millisecond

	// A conn that rests reads what it may use in restPiece: so it rests often and
	// shortly, and little comes at once. Who does not rest reads more each time.
	restPiece    = 8 * time.Millisecond
	smallestRead = 4 << 10
	largestRead  = 64 << 10
)

// chargeOut charges what the burst has brought for somebody.
func (b *burst) chargeOut(out *outbox, bytes int) {
	if out.conn == nil || bytes == 0 {
		return
	}
	k := out.conn.limits.Key()
	if rest := k.Out(bytes, b.now); rest.For > b.owed.For {
		b.owed, b.owes = rest, k
	}
}

// charge charges what the burst has brought, and returns errRest if the conn is to
// rest.
func (c *conn) charge(b *burst, used int) error {
	rest := c.limits.Key().In(used, b.now).Or(b.owed)
	if rest.For < shortestRest {
		return nil
	}
	c.owes, c.owesFor = b.owes, int32(min(b.owed.For.Milliseconds()+1, math.MaxInt32))
	c.server.count.rests.Note(rest.Why, used, rest.For)
	c.readAtOnce(rest.Rate * int64(restPiece) / int64(time.Second))
	return errRest
}

// chargeIdle charges what the burst has brought besides packets, and returns errRest if
// the conn is to rest for that. Siblings are to send news of peers.
func (c *conn) chargeIdle(b *burst, used int) error {
	again := c.rested && used == 0 // it is what was there before the rest
	c.rested = false
	if c.sibling || again {
		return nil
	}
	c.idle.Charge(b.packets[ledger.Disco]+b.packets[ledger.Data], b.others, used, b.now)
	if owes := c.idle.Owes(b.now); owes > 0 {
		c.server.count.rests.Note(limit.ByNothing, used, min(owes, limit.LongestIdleRest))
		c.readAtOnce(smallestRead)
		return errRest
	}
	return nil
}

// readAtOnce has the stream read about so many bytes at once, if it can.
func (c *conn) readAtOnce(bytes int64) {
	most := int32(max(bytes, smallestRead))
	if bytes >= largestRead {
		most = 0
	}
	if s, ok := c.stream.(interface{ LimitBursts(n int) }); ok && most != c.most {
		c.most = most
		s.LimitBursts(int(most))
	}
}

// A rest is a time in which a conn is not read.
type rest struct {
	from  int64 // when it began; a pause comes before it
	begun bool  // a frame is incomplete
}

// rest waits until nothing is owed any more, or the conn has ended.
func (c *conn) rest() {
	for r, wait := c.beginRest(); wait > 0; wait = c.restsOn(&r) {
		time.Sleep(wait)
	}
}

// beginRest returns a rest and when to ask restsOn. It is not the peer's fault that a
// frame stays incomplete meanwhile.
func (c *conn) beginRest() (r rest, look time.Duration) {
	r.from, r.begun = c.server.now(), c.server.sweeper.begun.Pause(c)
	c.resting.Store(true)
	if c.shared && c.pause > 0 { // which pace has left to us
		r.from += int64(c.pause)
		return r, time.Duration(c.pause)
	}
	return r, c.restsOn(&r)
}

// restsOn returns when to look again; 0: the rest is over.
func (c *conn) restsOn(r *rest) (look time.Duration) {
	if c.ended.Load() == nil {
		now, k := c.server.now(), c.limits.Key()
		rested := time.Duration(now - r.from)
		left := max(k.Owes(now), min(c.owes.OwesOut(now), time.Duration(c.owesFor)*time.Millisecond-rested), min(c.idle.Owes(now), limit.LongestIdleRest-rested))
		if left > 0 {
			return min(left, restLook)
		}
		k.Rested(rested)
	}
	c.owes, c.rested = nil, true
	if r.begun {
		c.noteBegun(0, 0, true)
	}
	c.resting.Store(false)
	return 0
}
