package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/detour-relay/detour/internal/clients"
	"github.com/detour-relay/detour/relay"
)

const (
	pathTop = "/v1/top"

	// PathAdminTop is where the admin address answers as the socket does at its path.
	PathAdminTop = "/top"

	// UsualEvery is how long it is from one sample to the next; nobody gets them more
	// often than every leastEvery, since each visits all connections.
	UsualEvery = 2 * time.Second
	leastEvery = 500 * time.Millisecond
	mostEvery  = time.Minute

	// soon is how long after the beginning the first sample comes.
	soon = 500 * time.Millisecond

	// mostWatching is how many may be sent samples at a time.
	mostWatching = 8
)

// A Sample is what a relay does at one moment, and those who do most of it. Rates are of
// the time since the sample before.
type Sample struct {
	At      time.Time `json:"at"`
	OverMS  int64     `json:"over_ms"` // since the sample before
	Version string    `json:"version"`
	PID     int       `json:"pid"`

	Conns  int64 `json:"conns"`  // of the relay
	Peers  int64 `json:"peers"`  // distinct keys
	Homes  int64 `json:"homes"`  // conns that call it their home
	Queued int64 `json:"queued"` // packets in outboxes of peers

	In      Rate            `json:"in"`
	Out     Rate            `json:"out"`
	Dropped map[string]Rate `json:"dropped"` // by reason, without those that nothing is dropped for

	Matched int    `json:"matched"` // conns that the filter takes
	Busiest []Busy `json:"clients"` // the first of them
}

// A Rate is of packets and their bytes, in a second.
type Rate struct {
	Packets float64 `json:"packets_per_second"`
	Bytes   float64 `json:"bytes_per_second"`
}

// A Busy is a connection and its rates.
type Busy struct {
	Peer
	InRate  float64 `json:"received_per_second"` // bytes
	OutRate float64 `json:"sent_per_second"`
}

// Watching is what samples are made from. It bounds how many watch at a time.
type Watching struct {
	Version  string
	PID      int
	Peers    iter.Seq[relay.PeerState]
	Counters func() relay.Counters
	places   chan struct{}
}

// NewWatching returns one with all places free.
func NewWatching(w Watching) *Watching {
	w.places = make(chan struct{}, mostWatching)
	return &w
}

// leavingKey is where the context of a request has a channel that is closed when the
// server ends.
type leavingKey struct{}

// Serve sends a sample again and again until the client leaves.
func (w *Watching) Serve(out http.ResponseWriter, r *http.Request) {
	if err := w.answer(out, r); err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return // the client has left
		}
		fail(out, e)
	}
}

func (w *Watching) answer(out http.ResponseWriter, r *http.Request) error {
	q, err := clients.ParseWatch(r.URL.Query())
	if err != nil {
		return &Error{http.StatusBadRequest, err.Error()}
	}
	every, err := everyOf(r.URL.Query().Get("every"))
	if err != nil {
		return err
	}
	select {
	case w.places <- struct{}{}:
		defer func() { <-w.places }()
	default:
		return refusef(http.StatusServiceUnavailable, "%d are watching already: try again", mostWatching)
	}
	return w.watch(newPatient(out, r), r, q, every)
}

func everyOf(text string) (time.Duration, error) {
	if text == "" {
		return UsualEvery, nil
	}
	every, err := time.ParseDuration(text)
	if err != nil || every < leastEvery || every > mostEvery {
		return 0, refusef(http.StatusBadRequest, "every %.40q: want a time from %s to %s", text, leastEvery, mostEvery)
	}
	return every, nil
}

// watch sends until the client leaves, or the server ends.
func (w *Watching) watch(out *patient, r *http.Request, q *clients.Query, every time.Duration) error {
	out.control.SetReadDeadline(time.Time{}) // nothing more has to come
	leaving, _ := r.Context().Value(leavingKey{}).(chan struct{})
	s := sampler{Watching: w, meter: clients.NewMeter(q)}
	s.take() // rates begin here
	turn := time.NewTimer(min(every, soon))
	defer turn.Stop()
	to := newRows(out)
	for {
		select {
		case <-turn.C:
		case <-leaving:
			return nil
		case <-r.Context().Done():
			return r.Context().Err()
		}
		turn.Reset(every)
		sample := s.take()
		if err := errors.Join(to.to.Encode(sample), to.out.Flush(), out.control.Flush()); err != nil {
			return err
		}
	}
}

// A sampler remembers what was counted at the sample before.
type sampler struct {
	*Watching
	meter  *clients.Meter
	before relay.Counters
}

func (s *sampler) take() *Sample {
	now := time.Now()
	queued := int64(0)
	look := s.meter.Look(func(yield func(relay.PeerState) bool) {
		for p := range s.Peers {
			queued += int64(p.Queued)
			if !yield(p) {
				return
			}
		}
	}, now)
	c := s.Counters()
	over := look.Over.Seconds()
	sample := &Sample{
		At: now.UTC(), OverMS: look.Over.Milliseconds(), Version: s.Version, PID: s.PID, Conns: c.Conns, Peers: c.Peers, Homes: c.Homes, Queued: queued,
		In: rateOf(c.Received, s.before.Received, over), Out: rateOf(c.Sent, s.before.Sent, over), Dropped: make(map[string]Rate),
		Matched: look.Conns, Busiest: make([]Busy, len(look.Peers)),
	}
	for reason, n := range c.Dropped {
		if r := rateOf(n, s.before.Dropped[reason], over); r.Packets > 0 {
			sample.Dropped[reason] = r
		}
	}
	for i := range look.Peers {
		p := &look.Peers[i]
		sample.Busiest[i] = Busy{PeerOf(&p.PeerState), per(p.In, over), per(p.Out, over)}
	}
	s.before = c
	return sample
}

func rateOf(now, before relay.ByKind, seconds float64) Rate {
	return Rate{
		Packets: per(now.Disco.Packets+now.Other.Packets-before.Disco.Packets-before.Other.Packets, seconds),
		Bytes:   per(now.Disco.Bytes+now.Other.Bytes-before.Disco.Bytes-before.Other.Bytes, seconds),
	}
}

func per(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

// Top is sent samples until the context ends, the relay does, or each returns an error.
func (c *Client) Top(ctx context.Context, q url.Values, each func(*Sample) error) error {
	return c.top(ctx, pathTop, q, each)
}

// TopAt is Top at the path of an admin address.
func (c *Client) TopAt(ctx context.Context, q url.Values, each func(*Sample) error) error {
	return c.top(ctx, PathAdminTop, q, each)
}

func (c *Client) top(ctx context.Context, path string, q url.Values, each func(*Sample) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := c.Ask(ctx, http.MethodGet, path, q, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	from := json.NewDecoder(answer)
	for {
		var s Sample
		switch err := from.Decode(&s); {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: the relay has ended", ErrUnanswered)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrUnanswered, err)
		}
		if err := each(&s); err != nil {
			return err
		}
	}
}
