package tailnet

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/internal/retry"
)

// How long a member waits before it asks a coordinator again. Thousands lose theirs in
// the same moment, and must not come back in the same moment.
const (
	quickTime   = time.Second      // after a stream that was complete: another coordinator, within so long
	freshTime   = time.Second      // after the first round of a member that has just been opened
	firstPause  = 30 * time.Second // after a round of all coordinators without success: up to so long, doubled
	lastPause   = 5 * time.Minute
	removedTime = 5 * time.Minute // who was removed asks so often: it may have been a mistake
)

// quickLimit is how often quickTime is granted: a coordinator may tell all and close, again
// and again.
var quickLimit = rate.Limit{PerSecond: 1.0 / 30, Burst: 4}

// pace says how long to wait.
type pace struct {
	began  time.Time
	next   time.Duration // bound of the next pause
	failed int           // contacts in a row
	denied int           // contacts in a row that do not know the member
	asked  time.Duration // how long a coordinator of this round asks to be left alone
	quick  rate.Bucket
}

func newPace() pace { return pace{began: time.Now(), next: freshTime} }

// after returns how long to wait after a stream has ended so, with n coordinators to
// choose from.
func (p *pace) after(e end, n int) time.Duration {
	if e.complete {
		p.failed, p.denied, p.next = 0, 0, firstPause
	}
	switch {
	case errors.Is(e.err, errNetwork):
		p.next = freshTime
		return 0
	case e.complete && p.quick.Take(quickLimit, 1, time.Since(p.began)):
		return rand.N(quickTime)
	}
	p.asked = max(p.asked, retryAfter(e.err))
	if p.failed++; p.failed%n != 0 && !e.complete {
		return 0 // the next one of the list
	}
	wait := max(p.pause(), p.asked)
	p.asked = 0
	return wait
}

func (p *pace) pause() time.Duration {
	d := p.next
	p.next = min(max(2*d, firstPause), lastPause)
	return rand.N(d)
}

// removed reports whether an end means that the tailnet does not have the member. One
// coordinator alone may not have heard yet that it has joined.
func (p *pace) removed(e end, n int) bool {
	if errors.Is(e.err, ErrRemoved) && codeOf(e.err) == "" {
		return true // the last line of a stream
	}
	if codeOf(e.err) != coordapi.CodeNotMember {
		return false
	}
	p.denied++
	return p.denied > n
}

// run keeps to one coordinator after the other until Close.
func (m *Member) run() {
	p, at := newPace(), 0
	for m.ctx.Err() == nil {
		e := m.follow(m.contacts[at%len(m.contacts)])
		if m.ctx.Err() != nil {
			return
		}
		if !errors.Is(e.err, errNetwork) {
			at++
		}
		wait, gone := p.after(e, len(m.contacts)), p.removed(e, len(m.contacts))
		if gone {
			wait = retry.Jitter(removedTime)
		}
		m.away(e.err, gone, wait)
		if m.rest(wait) {
			p.next = freshTime
		}
	}
}

// rest waits, and reports whether it was cut short because the network has changed.
func (m *Member) rest(wait time.Duration) (cut bool) {
	if wait <= 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.network:
		return true
	case <-m.ctx.Done():
	}
	return false
}

// phaseLocked goes over to another phase, or notes why it lasts.
func (m *Member) phaseLocked(to Phase, why error) {
	if m.state.Phase != to {
		m.state.Phase, m.state.Since = to, time.Now()
	}
	m.state.Err, m.state.Retry = why, time.Time{}
}

// trying notes which coordinator is asked.
func (m *Member) trying(c *contact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Coordinator, m.state.Retry = c.URL, time.Time{}
}

// resuming is for when a coordinator has let us in. What it has of our home is not known.
func (m *Member) resuming() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phaseLocked(Resuming, nil)
	m.reports.connectedLocked(m)
}

// left is for when the stream has ended: a snapshot that was not complete says nothing
// about who is gone.
func (m *Member) left() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view.told = nil
	if m.state.Phase == Connected {
		m.state.Current, m.save.aged = time.Now(), true
	}
	m.reports.connected = false
	m.reported.Send() // nobody takes it now
}

// away notes why there is no coordinator, and tells of it once.
func (m *Member) away(why error, gone bool, wait time.Duration) {
	m.mu.Lock()
	to, event := Away, IsAway
	if gone || m.told == Removed && codeOf(why) == coordapi.CodeNotMember {
		to, event = Removed, WasRemoved
	}
	m.phaseLocked(to, why)
	if wait > 0 {
		m.state.Retry = time.Now().Add(wait)
	}
	m.mu.Unlock()
	if m.told != to {
		m.told = to
		m.log.Warn("no coordinator", "phase", to, "reason", why)
		m.tell(Event{Type: event, Err: why})
	}
}
