package coordsource

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/internal/vouch"
	"github.com/detour-relay/detour/key"
)

const (
	mostLine = 4 << 10

	firstPause = time.Second
	lastPause  = 30 * time.Second
	steady     = 30 * time.Second // a stream that lasts as long was of use

	// staleTime is how long we listen to a replica that does not hear its store, once
	// all have been tried: another may hear it again.
	staleTime = time.Minute
)

var (
	errSilent = fmt.Errorf("it has said nothing for %v", coordapi.SilenceTime)
	errMove   = errors.New("it asked us to go to another coordinator")
	errStale  = errors.New("it does not hear its store, and may not know who was removed")
)

// Events are what Watch tells. None of them may wait for long.
type Events struct {
	Gone   func(key.Public) // it may not come in any more
	Missed func()           // it cannot be told who has gone since we heard last: ask about all
	Heard  func(error)      // the server is heard (nil: all up to now was told), or why it is not
}

// Watch listens until ctx ends, at one replica after the other, and resumes where it
// was. It returns what was heard last, for another Watch of the same server to go on
// from; empty at first.
func (s *Source) Watch(ctx context.Context, cursor string, to Events) string {
	w := &watch{source: s, to: to, cursor: cursor, untried: len(s.replicas)}
	pause := retry.Backoff{First: firstPause, Most: lastPause}
	for n := int(s.first.Load()); ; n++ {
		w.begun, w.at = time.Now(), n%len(s.replicas)
		r := s.replicas[w.at]
		err := w.listen(ctx, r)
		if ctx.Err() != nil {
			return w.cursor
		}
		if err != errMove {
			to.Heard(s.naming(r, err))
		}
		if w.complete && time.Since(w.begun) >= steady {
			w.untried = len(s.replicas)
			pause.Reset()
		}
		if w.untried--; w.untried > 0 {
			continue
		}
		if !retry.Rest(ctx, pause.Next(), nil) {
			return w.cursor
		}
	}
}

// watch is the state of a Watch.
type watch struct {
	source  *Source
	to      Events
	cursor  string
	untried int // replicas that may be tried at once

	// Of the stream that is open.
	at       int // replica
	begun    time.Time
	complete bool // it has told all that was before it
	stale    bool // its coordinator does not hear the store
}

// listen listens at one replica until that ends.
func (w *watch) listen(ctx context.Context, r *replica) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(coordapi.SilenceTime, func() { cancel(errSilent) })
	defer silence.Stop()
	w.complete, w.stale = false, false
	answer, err := r.open(ctx, w.cursor)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, mostLine)
	for lines.Scan() {
		silence.Reset(coordapi.SilenceTime)
		if err := w.take(lines.Bytes()); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("it sends a line of more than %d KiB: is it a coordination server?", mostLine>>10)
	case err != nil:
		return err
	}
	return errors.New("it has ended the stream")
}

// open asks for the stream.
func (r *replica) open(ctx context.Context, cursor string) (*http.Response, error) {
	at := r.base + coordapi.PathRelayWatch
	if cursor != "" {
		at += "?since=" + url.QueryEscape(cursor)
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	q.Header = r.header()
	answer, err := r.client.Do(q)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, causeOf(err)
	case answer.StatusCode != http.StatusOK:
		answer.Body.Close()
		return nil, r.statusError(answer.StatusCode, fmt.Errorf("status %d, where only 200 is an answer", answer.StatusCode))
	}
	return answer, nil
}

// take takes one line.
func (w *watch) take(line []byte) error {
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	var e coordapi.RelayEvent
	if err := json.Unmarshal(line, &e); err != nil || e.Type == "" {
		return errors.New("it sends what is no event: is it a coordination server?")
	}
	switch e.Type {
	case coordapi.EventSnapshot:
		w.cursor = ""
		w.to.Missed()
	case coordapi.EventGone:
		if e.Key == (key.Public{}) {
			return errors.New("it says that somebody has gone, and not who")
		}
		w.source.noteGone(e.Key)
		w.to.Gone(e.Key)
	case coordapi.EventMove:
		return errMove
	}
	if e.Cursor != "" {
		w.cursor = e.Cursor
	}
	return w.judge(&e)
}

// judge tells whether the server is heard, and leaves a coordinator that does not hear
// the store for one that may.
func (w *watch) judge(e *coordapi.RelayEvent) error {
	says := e.Type == coordapi.EventSnapshot || e.Type == coordapi.EventResumed || e.Type == coordapi.EventBeat
	switch {
	case says && e.Stale && len(w.source.replicas) > 1 && (w.untried > 1 || time.Since(w.begun) >= staleTime):
		return errStale
	case says && e.Stale:
		w.stale = true
		w.to.Heard(w.source.naming(w.source.replicas[w.at], errStale))
	case says && w.stale:
		w.stale = false
		if w.complete {
			w.to.Heard(nil)
		}
	case e.Type == coordapi.EventAt && !w.complete:
		w.complete = true
		if !w.stale {
			w.source.first.Store(int64(w.at)) // which is asked from now on
			w.to.Heard(nil)
		}
	}
	return nil
}

// Check says what is wrong with the server, as far as one replica that can be asked
// knows; nil: nothing. It asks about nobody.
func (s *Source) Check(ctx context.Context) error {
	var failed []error
	for i, r := range s.replicas {
		err := s.check(ctx, r, len(s.replicas)-i)
		if err == nil {
			return nil
		}
		failed = append(failed, s.naming(r, err))
	}
	return errors.Join(failed...)
}

// check listens until the stream has begun.
func (s *Source) check(ctx context.Context, r *replica, shares int) error {
	if end, ok := ctx.Deadline(); ok {
		within, cancel := context.WithTimeoutCause(ctx, time.Until(end)/time.Duration(shares), vouch.ErrSlow)
		defer cancel()
		ctx = within
	}
	answer, err := r.open(ctx, "")
	if err == nil {
		answer.Body.Close()
	}
	return err
}
