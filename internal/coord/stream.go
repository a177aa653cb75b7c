package coord

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
)

// A source is what a stream tells.
type source interface {
	take() coordstate.Batch
	beat() []byte
	stop()
}

// stream is one that lasts. What it has to do is noted in flags, and done by the one
// goroutine that speaks at a time.
type stream struct {
	of   *Service
	out  sink
	from source
	ses  session       // zero: a relay's
	done chan struct{} // closed when all is over

	begun    bool         // it has spoken: the peer knows that its request is taken
	speaking atomic.Int32 // see Wake
	beats    atomic.Bool
	looks    atomic.Bool // it is woken in a moment
	moves    atomic.Bool // tell it to go elsewhere, and end
	ends     atomic.Bool // the peer has gone
	slot     int         // guarded by streams.mu
	place    int         // likewise
}

const (
	silent = iota
	speaks
	speaksAgain // something has come since it last looked
)

// Wake lets the stream look what there is. It does not wait.
func (st *stream) Wake() {
	for {
		switch now := st.speaking.Load(); {
		case now == silent && st.speaking.CompareAndSwap(silent, speaks):
			go st.speak()
			return
		case now == speaks && st.speaking.CompareAndSwap(speaks, speaksAgain), now == speaksAgain:
			return
		}
	}
}

// Displace makes room for a newer one of the same member. Who reads slowly may read
// slowly, but not for an hour beside any number of newer ones.
func (st *stream) Displace() {
	if !st.moves.Swap(true) {
		time.AfterFunc(lineTime, func() { st.of.streams.cut(st) })
	}
	st.Wake()
}

func (st *stream) end() {
	st.ends.Store(true)
	st.out.cut()
	st.Wake()
}

// speak says what there is until there is nothing more. After the end nobody speaks:
// it never becomes silent again.
func (st *stream) speak() {
	for {
		st.speaking.Store(speaks)
		if !st.say() {
			st.from.stop()
			st.of.streams.forget(st)
			st.out.close()
			close(st.done)
			return
		}
		if st.speaking.CompareAndSwap(speaks, silent) {
			return
		}
	}
}

// say reports whether the stream goes on.
func (st *stream) say() bool {
	if st.ends.Load() {
		return false
	}
	b := st.from.take()
	lines := b.Lines
	if st.beats.Swap(false) {
		if b.Waits {
			lines = append(lines, staleLine)
		} else if len(lines) == 0 {
			lines = append(lines, st.from.beat())
		}
		if line := st.renewal(); line != nil && !b.Removed {
			lines = append(lines, line)
		}
	}
	if b.Waits { // rare: for as long as this coordinator is behind what the peer has seen
		st.lookAgain()
	}
	moves := st.moves.Load() && !b.Removed
	if moves {
		lines = append(lines, moveLine)
	}
	if len(lines) > 0 || !st.begun {
		st.begun = true
		st.of.counts.batches.Add(1)
		if err := st.out.write(lines); err != nil {
			return false
		}
	}
	return !moves && !b.Removed
}

// lookAgain wakes the stream in a moment, once: what it waits for wakes it, too, a
// thousand times perhaps.
func (st *stream) lookAgain() {
	st.of.waits.Store(true)
	if !st.looks.Swap(true) {
		time.AfterFunc(250*time.Millisecond, func() {
			st.looks.Store(false)
			st.Wake()
		})
	}
}

var (
	moveLine  = []byte(`{"type":"move"}` + "\n")
	beatLine  = []byte(`{"type":"beat"}` + "\n")
	staleLine = []byte(`{"type":"beat","stale":true}` + "\n")
)

// renewBefore is how long before its end a session is renewed.
const renewBefore = coordapi.SessionTime / 4

// renewal is the line with another session, if it is time.
func (st *stream) renewal() []byte {
	if st.ses.tailnet == "" || time.Until(time.Unix(st.ses.expires, 0)) > renewBefore {
		return nil
	}
	c, err := st.of.secrets()
	if err != nil {
		return nil
	}
	renewed, answer := c.renewed(st.ses)
	st.ses = renewed
	return line(coordapi.Event{Type: coordapi.EventSession, Session: &answer})
}

func line(v any) []byte {
	b, _ := json.Marshal(v) // types of coordapi
	return append(b, '\n')
}

// ofMember is what a member is told.
type ofMember struct {
	s   *Service
	sub *coordstate.Sub
	net string
}

func (m ofMember) take() coordstate.Batch { return m.s.state.Take(m.sub) }
func (m ofMember) stop()                  { m.s.state.Unsubscribe(m.sub) }

func (m ofMember) beat() []byte {
	if m.s.unheard(m.net) {
		return staleLine
	}
	return beatLine
}

// unheard reports whether a tailnet may have news that cannot be heard.
func (s *Service) unheard(tailnet string) bool {
	return s.state.Stale(tailnet) || !s.store.State().Writable
}

func (s *Service) watch(w http.ResponseWriter, r *http.Request) {
	ses, err := s.who(r)
	if err == nil && s.streams.full(s) {
		err = errFull()
	}
	if err != nil {
		s.refused(w, err)
		return
	}
	cursor := r.URL.Query().Get("since")
	s.stream(w, r, ses, func(st *stream) source {
		if sub := s.state.Subscribe(ses.tailnet, ses.key, cursor, st); sub != nil {
			return ofMember{s, sub, ses.tailnet}
		}
		return nil
	})
}

// ofRelay is what a relay is told.
type ofRelay struct {
	s   *Service
	sub *coordstate.RelaySub
}

func (m ofRelay) take() coordstate.Batch { return m.s.state.TakeGone(m.sub) }
func (m ofRelay) stop()                  { m.s.state.UnsubscribeRelay(m.sub) }

func (m ofRelay) beat() []byte {
	stale := len(m.s.state.Unheard()) > 0 || !m.s.store.State().Writable
	return line(coordapi.RelayEvent{Type: coordapi.EventBeat, Cursor: m.s.state.RelayCursor(m.sub), Stale: stale})
}

func (s *Service) watchRelay(w http.ResponseWriter, r *http.Request) {
	name, err := s.relay(r)
	switch {
	case err == nil && name == "":
		err = refuse(coordapi.CodeForbidden, "a relay watches with its token")
	case err == nil && !s.relays.take(sourceOf(r)):
		err = later(coordapi.CodeTooMany, "too many calls from this address")
	case err == nil && s.streams.full(s):
		err = errFull()
	}
	if err != nil {
		s.refused(w, err)
		return
	}
	cursor := r.URL.Query().Get("since")
	s.stream(w, r, session{}, func(st *stream) source {
		if sub := s.state.SubscribeRelay(name, cursor, st); sub != nil {
			return ofRelay{s, sub}
		}
		return nil
	})
}

// slots is how many groups of streams there are, of which one beats each second.
const slots = int(coordapi.BeatTime / time.Second)

// streams are all that last.
type streams struct {
	mu    sync.Mutex
	slots [slots][]*stream
	turn  int
	n     int
	ears  int // goroutines that listen for the end of one
	over  bool
}

// listens counts the goroutines that listen.
func (c *streams) listens(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ears += n
}

func (c *streams) full(s *Service) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over || s.draining.Load() || c.n >= s.cfg.Limits.Streams
}

// start puts a stream among the others and lets it speak.
func (c *streams) start(st *stream, from func(*stream) source) bool {
	st.speaking.Store(speaks) // nobody else speaks until it has a source
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return false
	}
	c.turn = (c.turn + 7) % slots // those who come together do not beat together
	st.slot, st.place = c.turn, len(c.slots[c.turn])
	c.slots[st.slot] = append(c.slots[st.slot], st)
	c.n++
	c.mu.Unlock()
	if st.from = from(st); st.from == nil {
		c.forget(st)
		return false
	}
	go st.speak()
	return true
}

func (c *streams) forget(st *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slot := c.slots[st.slot]
	last := len(slot) - 1
	slot[st.place] = slot[last]
	slot[st.place].place = st.place
	slot[last] = nil
	c.slots[st.slot] = slot[:last]
	c.n--
}

// cut ends a stream that is among the others still.
func (c *streams) cut(st *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if slot := c.slots[st.slot]; st.place < len(slot) && slot[st.place] == st {
		st.out.cut()
	}
}

// each calls f for the streams of a slot, or of all.
func (c *streams) each(slot int, f func(*stream)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, some := range c.slots {
		if slot != i && slot >= 0 {
			continue
		}
		for _, st := range some {
			f(st)
		}
	}
}

// closeAll ends all streams and waits for them.
func (c *streams) closeAll() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.each(-1, (*stream).Displace)
	late := time.AfterFunc(2*time.Second, func() { c.each(-1, func(st *stream) { st.out.cut() }) })
	defer late.Stop()
	for c.busy() {
		time.Sleep(5 * time.Millisecond)
	}
}

func (c *streams) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n+c.ears > 0
}

func (c *streams) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// beat lets each stream say something every coordapi.BeatTime.
func (s *Service) beat(ctx context.Context) {
	for slot := 0; rest(ctx, time.Second); slot = (slot + 1) % slots {
		s.streams.each(slot, func(st *stream) {
			st.beats.Store(true)
			st.Wake()
		})
	}
}

// Drain tells all streams to go elsewhere, spread over a time, and takes no new ones.
// It returns when they have gone, or ctx ends.
func (s *Service) Drain(ctx context.Context, over time.Duration) {
	s.draining.Store(true)
	for slot := range slots {
		s.streams.each(slot, (*stream).Displace)
		if !rest(ctx, over/time.Duration(slots)) {
			return
		}
	}
	for s.streams.count() > 0 && rest(ctx, 20*time.Millisecond) {
	}
}
