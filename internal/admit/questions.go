package admit

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/vouch"
	"github.com/detour-relay/detour/key"
)

// Asking costs: the sources their time, us a goroutine and a connection. So there is
// one question about a key at a time, which all wait for who want to know, and two
// lanes: one for strangers, whoever they are and however many, and one for keys that a
// source has confirmed before. Strangers never hold up those who are known.
const (
	atOnce = 32 // questions under way in each lane

	// Beyond so many that wait, strangers are refused; known keys are let in without a
	// question.
	mostStrangers = 1024
	mostKnown     = 16384

	// mostSame is how many logins with the same key of a stranger wait for one answer:
	// each holds a connection.
	mostSame = 16

	// knownWait is how long a question about a known key may wait for its turn. That about
	// a stranger waits within its time.
	knownWait = 30 * time.Second

	// refusedFor is how long a no is remembered: a peer that is refused comes back.
	refusedFor  = 3 * time.Second
	mostRefused = 4096
)

// A verdict is what all sources together say of a key.
type verdict struct {
	answer answer
	by     *source // who said yes, or the first who said no
	why    error   // why there is no answer
	open   bool    // a URL that decides cannot be reached at all
}

type answer uint8

const (
	unanswered answer = iota
	yes
	no
)

// A question is one about a key, under way.
type question struct {
	key     key.Public
	from    netip.Addr
	known   bool
	by      uint64 // which source has confirmed the key before
	sources []*source
	timeout time.Duration // of the sources; with the wait before, if the key is a stranger's

	done    chan struct{}
	verdict verdict // set before done is closed

	waiting int                // guarded by questions.mu
	cancel  context.CancelFunc // of a stranger's, when nobody waits any more
}

// questions are those of a chain.
type questions struct {
	note func(*source, bool, error) // what a source has answered
	end  func(*question)            // what came of it, before who waits hears

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	open    map[key.Public]*question // guarded by mu
	refused map[key.Public]refused   // guarded by mu
	lanes   [2]lane                  // guarded by mu, but for slots
	stopped bool                     // guarded by mu
}

type refused struct {
	at time.Time
	by *source
}

type lane struct {
	slots chan struct{}
	count int // under way or waiting
	most  int
}

func newQuestions(note func(*source, bool, error), end func(*question)) *questions {
	q := &questions{note: note, end: end, open: map[key.Public]*question{}, refused: map[key.Public]refused{}}
	q.ctx, q.stop = context.WithCancel(context.Background())
	q.lanes = [2]lane{{make(chan struct{}, atOnce), 0, mostStrangers}, {make(chan struct{}, atOnce), 0, mostKnown}}
	return q
}

// lane is the one of known keys, or of strangers.
func (q *questions) lane(known bool) *lane {
	if known {
		return &q.lanes[1]
	}
	return &q.lanes[0]
}

// ask returns the question about a key, which may have been put by somebody else, or
// nil if too many wait. Who does not wait for it calls leave.
func (q *questions) ask(about *question) *question {
	q.mu.Lock()
	defer q.mu.Unlock()
	if open := q.open[about.key]; open != nil {
		if !about.known && open.waiting >= mostSame {
			return nil
		}
		open.waiting++
		return open
	}
	if r, ok := q.refused[about.key]; ok && time.Since(r.at) < refusedFor && !about.known {
		done := make(chan struct{})
		close(done)
		return &question{key: about.key, done: done, waiting: 1, verdict: verdict{answer: no, by: r.by}}
	}
	lane := q.lane(about.known)
	if lane.count >= lane.most || q.stopped {
		return nil
	}
	lane.count++
	about.done, about.waiting = make(chan struct{}), 1
	var ctx context.Context
	whole := about.timeout
	if about.known { // nobody waits for it so long
		whole += knownWait
	}
	ctx, about.cancel = context.WithTimeoutCause(q.ctx, whole, vouch.ErrSlow)
	q.open[about.key] = about
	q.running.Go(func() { q.run(ctx, about, lane) })
	return about
}

// leave is for who does not wait any more. A stranger that leaves takes the question
// along; one about a known key goes on.
func (q *questions) leave(about *question) {
	q.mu.Lock()
	defer q.mu.Unlock()
	about.waiting--
	if about.waiting == 0 && !about.known && about.cancel != nil {
		about.cancel()
		if q.open[about.key] == about { // who comes now puts it anew
			delete(q.open, about.key)
		}
	}
}

func (q *questions) run(ctx context.Context, about *question, lane *lane) {
	defer about.cancel()
	select {
	case lane.slots <- struct{}{}:
		about.verdict = about.askAll(ctx, q.note)
		<-lane.slots
	case <-ctx.Done():
		about.verdict = verdict{why: fmt.Errorf("too many questions before this one: %w", context.Cause(ctx))}
	}
	q.end(about)
	q.mu.Lock()
	defer q.mu.Unlock()
	lane.count--
	if q.open[about.key] == about {
		delete(q.open, about.key)
	}
	if about.verdict.answer == no {
		q.rememberLocked(about)
	}
	close(about.done)
}

func (q *questions) rememberLocked(about *question) {
	if len(q.refused) >= mostRefused {
		clear(q.refused)
	}
	q.refused[about.key] = refused{time.Now(), about.verdict.by}
}

// askAll puts the question to all sources at the same time. The first yes counts.
func (about *question) askAll(ctx context.Context, note func(*source, bool, error)) verdict {
	ctx, stop := context.WithTimeoutCause(ctx, about.timeout, vouch.ErrSlow)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	type answer struct {
		from  *source
		allow bool
		err   error
	}
	answers := make(chan answer, len(about.sources))
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	for _, s := range about.sources {
		asking.Go(func() {
			allow, err := s.Ask(ctx, about.key, about.from)
			if err == nil || !errors.Is(context.Cause(ctx), context.Canceled) { // nobody wants to know any more
				note(s, allow, err)
			}
			answers <- answer{s, allow, err}
		})
	}
	var all []answer
	for range about.sources {
		a := <-answers
		if a.allow && a.err == nil {
			return verdict{answer: yes, by: a.from}
		}
		all = append(all, a)
	}
	v := verdict{answer: no}
	for _, a := range all {
		switch {
		case a.err != nil && v.why == nil:
			v.open = a.from.isUnreachable(a.err)
			v.why = fmt.Errorf("%s %s: %w", a.from.kind, a.from.target, a.err)
		case a.err == nil && (v.by == nil || a.from.id == about.by):
			v.by = a.from
		}
	}
	if v.why != nil && !(v.by != nil && v.by.id == about.by) {
		v.answer, v.by = unanswered, nil
	}
	return v
}

// counts are the questions under way or waiting.
func (q *questions) counts() (strangers, known int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lanes[0].count, q.lanes[1].count
}

// close ends all questions.
func (q *questions) close() {
	q.mu.Lock()
	q.stopped = true
	q.mu.Unlock()
	q.stop()
	q.running.Wait()
}
