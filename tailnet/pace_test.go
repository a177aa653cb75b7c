package tailnet

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
)

var errNo = errors.New("no")

// The pauses grow with rounds over the whole list, and only a stream that was complete
// begins them anew.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		bounds := []time.Duration{freshTime, firstPause, 2 * firstPause, 4 * firstPause, 8 * firstPause, lastPause, lastPause}
		for round, bound := range bounds {
			for range 2 {
				if wait := p.after(end{err: errNo}, 3); wait != 0 {
					t.Errorf("round %d: the next of the list is tried after %v, want at once", round, wait)
				}
			}
			if wait := p.after(end{err: errNo}, 3); wait > bound {
				t.Errorf("round %d: a pause of %v, want %v at most", round, wait, bound)
			}
		}
		if p.next != lastPause {
			t.Errorf("the next is up to %v", p.next)
		}
		if wait := p.after(end{err: errEnded, complete: true}, 3); wait > quickTime {
			t.Errorf("another coordinator is tried after %v", wait)
		}
		p.after(end{err: errNo}, 1)
		if p.next != 2*firstPause {
			t.Errorf("after a complete stream and a failed round the next is up to %v", p.next)
		}
	})
}

// A coordinator that tells all and closes, again and again, is not asked without end.
func TestPausesOfAStreamThatAlwaysEnds(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		f.mu.Lock()
		f.replicas[0].script = scripted(coordapi.Event{Type: coordapi.EventSnapshot}, coordapi.Event{Type: coordapi.EventAt, Cursor: "c"},
			coordapi.Event{Type: coordapi.EventMove})
		f.mu.Unlock()
		cfg := f.config(t)
		cfg.Invite = f.invite(1)
		open(t, cfg)
		time.Sleep(10 * time.Minute)
		if n := f.count("GET /v1/watch"); n < 10 || n > 80 {
			t.Errorf("asked %d times in 10 min", n)
		}
	})
}

// The waits that a coordinator asks for are kept to, within reason.
func TestPausesAsAsked(t *testing.T) {
	p := newPace()
	if wait := p.after(end{err: &refusal{Code: coordapi.CodeTooMany, RetryAfter: time.Hour}}, 1); wait != time.Hour {
		t.Error(wait)
	}
	p = newPace()
	p.after(end{err: &refusal{Code: coordapi.CodeUnavailable, RetryAfter: time.Minute}}, 2)
	if wait := p.after(end{err: errNo}, 2); wait < time.Minute {
		t.Errorf("the other one does not answer, and the first is asked again after %v", wait)
	}
	if wait := p.pause(); wait > firstPause || p.asked != 0 {
		t.Errorf("the next round waits %v, %v", wait, p.asked)
	}
}

// Whatever a coordinator answers for ever, it is not asked again and again.
func TestRefusalsForEver(t *testing.T) {
	for _, call := range []string{"POST /v1/challenge", "POST /v1/login", "GET /v1/watch"} {
		for _, no := range []coordapi.Error{
			{Status: 401, Code: coordapi.CodeUnauthorized}, {Status: 403, Code: coordapi.CodeForbidden}, {Status: 403, Code: coordapi.CodeProof},
			{Status: 400, Code: coordapi.CodeBadRequest}, {Status: 429, Code: coordapi.CodeTooMany}, {Status: 500, Code: "broken"}, {Status: 302, Code: "elsewhere"},
		} {
			t.Run(fmt.Sprintf("%s %d %s", call, no.Status, no.Code), func(t *testing.T) {
				bubble(t, 2, func(t *testing.T, f *fake) {
					m, _ := joined(t, f)
					f.refuses(call, no.Status, no.Code)
					f.forgetSessions()
					asked := func() int {
						return f.count("POST /v1/challenge") + f.count("POST /v1/login") + f.count("GET /v1/watch")
					}
					before := asked()
					f.replicas[0].kill()
					f.replicas[0].revive()
					time.Sleep(time.Hour)
					if n := asked() - before; n < 10 || n > 300 {
						t.Errorf("asked %d times in an hour", n)
					}
					if s := m.State(); s.Phase != Away || s.Err == nil {
						t.Errorf("state is %+v", s)
					}
				})
			})
		}
	}
}

func TestOneCoordinatorAloneRemovesNobody(t *testing.T) {
	denied := end{err: &refusal{Code: coordapi.CodeNotMember}}
	p := newPace()
	for i, want := range []bool{false, false, true} {
		p.after(denied, 2)
		if got := p.removed(denied, 2); got != want {
			t.Errorf("refusal %d: removed %t", i+1, got)
		}
	}
	if p.removed(end{err: errNo}, 2) {
		t.Error("one that cannot be reached says that the member was removed")
	}
	if p = newPace(); !p.removed(end{err: ErrRemoved}, 2) {
		t.Error("the last line of a stream does not count")
	}
}
