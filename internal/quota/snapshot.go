package quota

import "time"

// A Snapshot is the quota at one moment. Its JSON names are stable.
type Snapshot struct {
	State    State     `json:"state"`
	Used     int64     `json:"used"` // bytes that count towards the marks
	In       uint64    `json:"in"`   // bytes of this month, whatever counts
	Out      uint64    `json:"out"`
	Soft     int64     `json:"soft"` // 0: no such mark
	Hard     int64     `json:"hard"`
	Month    time.Time `json:"month"`     // when it began
	ResetsAt time.Time `json:"resets_at"` // when the next one begins

	Error   string `json:"error"`   // why the count cannot be kept on disk; empty: it is
	Unread  string `json:"unread"`  // what became of a file that could not be used; empty: there was none
	Webhook Hook   `json:"webhook"` // how telling went
}

// A State is how much of the month is used.
type State string

// The states.
const (
	Off      State = "off" // there is no mark
	Below    State = "below"
	PastSoft State = "soft"
	PastHard State = "hard"
)

// Snapshot returns the quota now.
func (q *Quota) Snapshot() Snapshot {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.settings.off() {
		return Snapshot{State: Off}
	}
	all := q.base.plus(q.delta)
	s := Snapshot{
		State: Below, Used: q.usedLocked(), In: all.In, Out: all.Out, Soft: q.settings.Soft, Hard: q.settings.Hard,
		Month: q.base.Month, ResetsAt: next(q.now, q.settings.Day), Error: q.trouble, Unread: q.unread, Webhook: q.hook.state(),
	}
	switch {
	case q.Over():
		s.State = PastHard
	case s.Soft > 0 && s.Used >= s.Soft:
		s.State = PastSoft
	}
	return s
}
