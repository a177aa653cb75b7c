package paths

import (
	"time"

	"github.com/detour-relay/detour/internal/disco"
)

// answerTime is how old our last call must be for another one to answer the peer's.
const answerTime = 5 * time.Second

// decide does what is due, and sets when it wants to be called again.
func (p *Peer) decide(now time.Duration) {
	p.next = Never
	p.used(now)
	p.keep(now)
	p.look(now)
	p.judge(now)
}

// at wants to be called then.
func (p *Peer) at(t time.Duration) { p.next = min(p.next, t) }

// used notes when the use of the peer begins: a path that nobody has kept meanwhile is in
// doubt, or too old.
func (p *Peer) used(now time.Duration) {
	was := p.inUse
	p.inUse = p.isUsed(now)
	if p.inUse {
		p.at(p.sent + useTime)
	}
	if was || !p.inUse {
		return
	}
	if p.best != nil && now-p.best.full > keptTime {
		p.leave(now)
	}
	if p.best != nil {
		p.beat = now
	}
	p.search.news(now)
}

// keep pings the path that is in use, doubts it when it does not answer in its usual
// time, and gives it up when it does not answer at all.
func (p *Peer) keep(now time.Duration) {
	if p.best == nil || !p.isWanted(now) {
		return
	}
	if p.asked != Never && now >= p.asked+p.best.usual() && p.doubt == Never {
		p.doubt, p.beat = p.asked, now
	}
	if p.isLate(now) {
		p.chooseAny(now)
	}
	if now >= p.beat && p.hasFailed(now) {
		p.leave(now)
		return
	}
	if now >= p.beat {
		p.pingFull(now, p.best)
		p.beat = now + p.pause(now)
	}
	p.at(p.beat)
	if late := p.asked + p.best.usual(); p.asked != Never && late > now {
		p.at(late)
	}
}

// wonder pings the path before its time when packets go there and nothing comes back. If
// that is the peer's way, as in a stream of one direction, it is done ever more rarely.
func (p *Peer) wonder(now, heard time.Duration) {
	if heard > p.wondered {
		p.wonderRest = QuietTime
	}
	if p.trusted == nil || p.asked != Never || now-max(heard, p.since) < QuietTime || now-p.wondered < p.wonderRest {
		return
	}
	p.wondered, p.wonderRest = now, min(2*p.wonderRest, beatTime)
	p.beat = now
}

// pause is the time until the next ping to the path.
func (p *Peer) pause(now time.Duration) time.Duration {
	if p.isTrusted(now) {
		return beatTime
	}
	return 500 * time.Millisecond
}

// hasFailed reports whether the path has not answered for so long that there is none. A
// path that has just been found and does not carry full packets never was one.
func (p *Peer) hasFailed(now time.Duration) bool {
	if p.best.silent >= narrowAfter && p.best.full == long {
		p.best.narrow = true
		return true
	}
	return p.best.silent >= lostPings && p.asked != Never && now-p.asked >= lostTime
}

// leave gives the path up.
func (p *Peer) leave(now time.Duration) {
	p.best.proved, p.best.full, p.best.silent = min(p.best.proved, now-provenMemory), long, 0
	lived := now - p.since
	p.best, p.doubt, p.asked = nil, Never, Never
	p.counts.Changes++
	p.chooseAny(now)
	if lived >= holdTime {
		p.search.news(now) // else it may come and go for ever
	}
}

// suspect has the path show that it is still there.
func (p *Peer) suspect(now time.Duration) {
	if p.best != nil && p.doubt == Never {
		p.doubt, p.beat = now, now
	}
}

func (p *Peer) isTrusted(now time.Duration) bool {
	return p.best != nil && p.doubt == Never && now < p.best.full+trustTime
}

// isLate reports whether the path is in doubt, and has not answered in its usual time.
func (p *Peer) isLate(now time.Duration) bool {
	return p.doubt != Never && p.asked != Never && now >= p.asked+p.best.usual()
}

// chooseAny takes another candidate that carries packets.
func (p *Peer) chooseAny(now time.Duration) {
	for _, c := range p.all {
		if now < c.full+trustTime {
			p.choose(now, c)
		}
	}
}

// choose takes a candidate that has answered for the path, if that is none or worse.
func (p *Peer) choose(now time.Duration, c *candidate) {
	switch carries := now < c.full+trustTime; {
	case c.narrow || c == p.best:
		return
	case p.best == nil:
	case !carries:
		p.pingFull(now, c) // to see whether it can be one
		return
	case p.best.full == long || p.isLate(now):
	case now < p.since+holdTime || !c.isBetter(p.best):
		return
	}
	p.best, p.since, p.beat = c, now, now
	p.doubt, p.asked = Never, Never
	p.counts.Changes++
	if now < c.full+trustTime {
		p.beat = now + beatTime
	}
	p.better = now + betterTime
}

// look searches while there is no path that is trusted, and sometimes for a better one.
func (p *Peer) look(now time.Duration) {
	if !p.isWanted(now) {
		p.search.stop()
		return
	}
	if p.isTrusted(now) {
		p.search.stop()
		p.lookForBetter(now)
		return
	}
	again := p.searchAgain()
	if now >= again {
		p.search.begin(now, false)
	}
	for p.search.isDue(now) {
		if p.search.isFirst() {
			p.introduce(now)
		} else if p.pinged < p.search.began {
			p.call(now) // nothing shows that the peer has got the last one
		}
		p.pingAll(now)
		p.search.step()
	}
	p.at(p.search.due())
	if again = p.searchAgain(); again > now {
		p.at(again)
	}
}

// searchAgain is when a search is to begin by itself. A path that is in doubt for a
// second is not waited for.
func (p *Peer) searchAgain() time.Duration {
	switch {
	case !p.inUse || p.best != nil && p.doubt == Never:
		return Never
	case p.best == nil:
		return p.search.again
	}
	return max(p.search.again, p.doubt+time.Second)
}

// introduce calls the peer. A call that answers one is not answered in turn.
func (p *Peer) introduce(now time.Duration) {
	if p.search.answers && now-p.calling < answerTime {
		return
	}
	p.actions = append(p.actions, Action{Kind: AskSelf})
	p.call(now)
}

func (p *Peer) lookForBetter(now time.Duration) {
	if !p.inUse || p.best.rtt() <= goodEnough {
		return
	}
	if now >= p.better {
		p.pingAll(now)
		p.better = now + betterTime
	}
	p.at(p.better)
}

// judge settles whether there is a path that is trusted.
func (p *Peer) judge(now time.Duration) {
	p.trusted = nil
	if p.isTrusted(now) {
		p.trusted = p.best
		p.at(p.best.full + trustTime)
	}
}

// call tells the peer over the relay where we are, and asks it to ping us.
func (p *Peer) call(now time.Duration) {
	if p.callRate.Take(callLimit, 1, now) {
		p.calling = now
		p.actions = append(p.actions, Action{Kind: SendCall})
	}
}

// pingAll pings all candidates but the path, which has its own pace.
func (p *Peer) pingAll(now time.Duration) {
	for _, c := range p.all {
		if c != p.best {
			p.ping(now, c)
		}
	}
}

// ping sends a small ping to a candidate that has not answered lately, if there is one
// left for it, and else one of full size.
func (p *Peer) ping(now time.Duration, c *candidate) {
	if c.isProven(now) {
		p.pingFull(now, c)
		return
	}
	if c.asked.Take(askedLimit, 1, now) && p.unproven.Take(unprovenLimit, 1, now) && p.cfg.Budget.take(now) {
		p.send(now, c, c.narrow)
	}
}

// pingBack pings from where a ping came, though what is left for the candidate may be
// used up: by pings that nobody let through.
func (p *Peer) pingBack(now time.Duration, c *candidate) {
	if c.back.Take(backLimit, 1, now) && p.unproven.Take(unprovenLimit, 1, now) && p.cfg.Budget.take(now) {
		p.send(now, c, c.narrow)
	}
}

func (p *Peer) pingFull(now time.Duration, c *candidate) {
	if p.send(now, c, true) {
		c.silent++
		if c == p.best && p.asked == Never {
			p.asked = now
		}
	}
}

func (p *Peer) send(now time.Duration, c *candidate, full bool) bool {
	if !p.pingRate.Take(pingLimit, 1, now) {
		return false
	}
	a := Action{Kind: SendPing, Addr: c.addr, TxID: p.cfg.NewTxID()}
	if full {
		a.Padding = max(0, p.cfg.FullSize-disco.Overhead-disco.PingLen)
	}
	p.pings.add(ping{a.TxID, c.addr, now, full || p.cfg.FullSize == 0})
	p.actions = append(p.actions, a)
	return true
}
