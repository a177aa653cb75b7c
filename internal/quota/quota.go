package quota

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a [Quota] is made from.
type Config struct {
	Settings Settings
	Path     string       // file of the count; empty: it is forgotten at the end
	Usage    func() Usage // what this process has relayed so far
	Relay    string       // what a webhook is told the relay is called
	Logger   *slog.Logger // nil discards

	// Each is called by Run every second, and says whether the hard mark is passed. It
	// must not take long. May be nil.
	Each func(over bool)
}

// Settings can change while a Quota runs.
type Settings struct {
	Soft, Hard int64 // bytes; 0: no mark
	In, Out    bool  // what counts
	Day        int   // of the month, 1 to 28
	Webhook    func() (url string, err error)
}

// off reports whether there is nothing to count for.
func (s Settings) off() bool { return s.Soft <= 0 && s.Hard <= 0 }

const (
	look      = time.Second
	saveEvery = 30 * time.Second
)

// A Quota counts. Its methods may be called by any goroutine, Run by one.
type Quota struct {
	config Config
	store  store
	hook   *webhook
	over   atomic.Bool

	mu       sync.Mutex
	settings Settings // guarded by mu, as all below
	base     count
	delta    Usage
	seen     Usage // what the process had relayed at the last look
	saved    time.Time
	dirty    bool   // base is not what is on disk
	trouble  string // why the count cannot be kept; empty: it is
	unread   string // what became of a file that could not be used
	now      time.Time
}

// New reads what has been counted before.
func New(c Config) *Quota {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Each == nil {
		c.Each = func(bool) {}
	}
	q := &Quota{config: c, store: store{c.Path}, settings: c.Settings, now: time.Now()}
	q.hook = newWebhook(c.Logger)
	q.base = newCount(q.now, c.Settings.Day)
	q.seen = c.Usage()
	q.saved = q.now
	if !c.Settings.off() {
		q.openLocked()
	}
	q.lookLocked(q.now)
	return q
}

// openLocked takes up what is on disk.
func (q *Quota) openLocked() {
	unlock := q.store.lock()
	defer unlock()
	disk, err := q.store.read()
	q.noteUnreadLocked(err)
	if disk != nil {
		q.base = *disk
	}
}

// Update makes other settings count at once.
func (q *Quota) Update(s Settings) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wasOff := q.settings.off()
	if !wasOff && s.off() { // nothing is saved any more from now on
		q.lookLocked(time.Now())
		q.saveLocked(time.Now())
	}
	q.settings = s
	if wasOff && !s.off() {
		q.seen, q.delta = q.config.Usage(), Usage{}
		q.base = newCount(time.Now(), s.Day)
		q.openLocked()
	}
	q.lookLocked(time.Now())
}

// Over reports whether the hard mark is passed. It is quick.
func (q *Quota) Over() bool { return q.over.Load() }

// Run counts until ctx is done, and saves what it has counted then.
func (q *Quota) Run(ctx context.Context) {
	var telling sync.WaitGroup
	defer telling.Wait()
	telling.Go(func() { q.hook.run(ctx) })
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		q.config.Each(q.Over())
		select {
		case <-ctx.Done():
			q.mu.Lock()
			defer q.mu.Unlock()
			q.countLocked(time.Now()) // marks that are passed now are the next process's to tell
			q.saveLocked(time.Now())
			return
		case <-tick.C:
		}
		q.mu.Lock()
		now := time.Now()
		q.lookLocked(now)
		if apart := now.Sub(q.saved); apart >= saveEvery || apart < 0 {
			q.saveLocked(now)
		}
		q.mu.Unlock()
	}
}

// lookLocked counts, and tells of marks.
func (q *Quota) lookLocked(now time.Time) {
	if q.settings.off() { // there is nothing to count for, and counting allocates
		q.passedLocked(false)
		return
	}
	q.countLocked(now)
	q.tellLocked()
}

// countLocked counts what has been relayed since the last look, and begins a new month
// if it is time.
func (q *Quota) countLocked(now time.Time) {
	q.now = now
	usage := q.config.Usage()
	if q.settings.off() {
		q.seen = usage
		return
	}
	q.delta.In += usage.In - q.seen.In
	q.delta.Out += usage.Out - q.seen.Out
	q.seen = usage
	if q.base.turn(now, q.settings.Day) {
		q.delta, q.dirty = Usage{}, true
		q.config.Logger.Info("quota: a new month begins", "resets_at", next(now, q.settings.Day))
	}
}

// usedLocked returns what counts towards the marks.
func (q *Quota) usedLocked() int64 {
	all := q.base.plus(q.delta)
	used := uint64(0)
	if q.settings.In {
		used = sum(used, all.In)
	}
	if q.settings.Out {
		used = sum(used, all.Out)
	}
	return int64(used)
}

// tellLocked tells of marks that are passed, once each, and of the end of that.
func (q *Quota) tellLocked() {
	s, used := q.settings, q.usedLocked()
	if s.Soft > 0 && used >= s.Soft && q.base.ToldSoft != s.Soft {
		q.base.ToldSoft = s.Soft
		q.config.Logger.Warn("quota: the soft mark of this month is passed", "used", used, "mark", s.Soft, "hard", s.Hard, "resets_at", next(q.now, s.Day))
		q.dirty, q.saved = true, time.Time{} // soon: a process that takes over is not to tell it again
		q.sendLocked("soft", s.Soft)
	}
	over := s.Hard > 0 && used >= s.Hard
	if over && q.base.ToldHard != s.Hard {
		q.base.ToldHard = s.Hard
		q.config.Logger.Error("quota: the hard mark of this month is passed", "used", used, "mark", s.Hard, "resets_at", next(q.now, s.Day))
		q.dirty, q.saved = true, time.Time{}
		q.sendLocked("hard", s.Hard)
	}
	q.passedLocked(over)
}

func (q *Quota) passedLocked(over bool) {
	if q.over.Swap(over) && !over {
		q.config.Logger.Info("quota: the relay serves again", "used", q.usedLocked(), "mark", q.settings.Hard)
		q.sendLocked("resumed", q.settings.Hard)
	}
}

// sendLocked has the webhook told, if there is one.
func (q *Quota) sendLocked(event string, mark int64) {
	if q.settings.Webhook == nil {
		return
	}
	q.hook.push(message{
		url: q.settings.Webhook, Event: event, Relay: q.config.Relay, Used: q.usedLocked(), Mark: mark,
		Month: q.base.Month, ResetsAt: next(q.now, q.settings.Day), At: q.now.UTC(),
	})
}

// saveLocked adds what was counted to what is on disk. What does not work is said when it
// begins not to, and is tried again.
func (q *Quota) saveLocked(now time.Time) {
	if q.settings.off() || !q.dirty && q.delta == (Usage{}) {
		return
	}
	q.saved = now
	both, garbled, err := q.store.add(q.base, q.delta)
	q.noteUnreadLocked(garbled)
	trouble := ""
	if err != nil {
		trouble = err.Error()
		if q.trouble == "" {
			q.config.Logger.Error("quota: the count cannot be kept, and goes on in memory", "reason", err)
		}
	} else {
		q.base, q.delta, q.dirty = both, Usage{}, false
		if q.trouble != "" {
			q.config.Logger.Info("quota: the count is kept again", "file", q.config.Path)
		}
	}
	q.trouble = trouble
}

func (q *Quota) noteUnreadLocked(err error) {
	if err == nil {
		return
	}
	if q.unread == "" {
		q.config.Logger.Error("quota: the count on disk cannot be used", "reason", err)
	}
	q.unread = err.Error()
}
