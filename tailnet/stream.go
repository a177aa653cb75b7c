package tailnet

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
)

// stream is what a coordinator tells, line by line.
type stream struct {
	lines   *bufio.Reader
	body    io.Closer
	silence *time.Timer // ends the stream
	line    []byte
}

// watch asks for the stream, from where the view is. Its end, and 60 s of silence, end
// ctx or the reading.
func (m *Member) watch(ctx context.Context, c *contact, silence *time.Timer) (*stream, error) {
	m.mu.Lock()
	cursor := m.view.cursor
	m.mu.Unlock()
	path := coordapi.PathWatch
	if cursor != "" {
		path += "?since=" + url.QueryEscape(cursor)
	}
	var answer *http.Response
	err := m.asMember(ctx, c, func(token string) (err error) {
		answer, err = c.ask(ctx, http.MethodGet, path, token, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &stream{lines: newLines(answer.Body), body: answer.Body, silence: silence}, nil
}

func newLines(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 16<<10) }

// next reads a line. One that does not end, or comes byte by byte, ends the stream.
func (s *stream) next() (e coordapi.Event, err error) {
	s.line = s.line[:0]
	for {
		part, err := s.lines.ReadSlice('\n')
		if len(s.line)+len(part) > coordapi.MostLine {
			return e, fmt.Errorf("it sends a line of more than %d MiB", coordapi.MostLine>>20)
		}
		s.line = append(s.line, part...)
		if err == nil || errors.Is(err, bufio.ErrBufferFull) {
			s.silence.Reset(coordapi.SilenceTime) // a long line may take its time
		}
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return e, errEnded
		}
	}
	if json.Unmarshal(s.line, &e) != nil {
		return e, errors.New("it sends a line that is none")
	}
	if cap(s.line) > 64<<10 {
		s.line = nil
	}
	return e, nil
}

// An end is how a stream ended.
type end struct {
	err      error
	complete bool          // all had been told
	lasted   time.Duration // after that
}

// follow keeps to a coordinator until that ends.
func (m *Member) follow(c *contact) (e end) {
	ctx, cancel := context.WithCancelCause(m.ctx)
	defer cancel(nil)
	silence := time.AfterFunc(coordapi.SilenceTime, func() { cancel(errSilence) })
	defer silence.Stop()
	stopped := m.onNetworkChange(ctx, func() { cancel(errNetwork) })
	defer stopped()

	m.trying(c)
	s, err := m.watch(ctx, c, silence)
	defer c.leave(&e)
	if err != nil {
		return end{err: err}
	}
	defer s.body.Close()
	m.resuming()
	var completed time.Time
	for err == nil {
		var event coordapi.Event
		if event, err = s.next(); err == nil {
			err = m.take(event)
		}
		if event.Type == coordapi.EventAt && completed.IsZero() && err == nil {
			completed = time.Now()
		}
	}
	m.left()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	e = end{err: c.named(err), complete: !completed.IsZero()}
	if e.complete {
		e.lasted = time.Since(completed)
	}
	return e
}

// onNetworkChange calls do once when the network has changed. It waits for nothing else
// than what it has begun.
func (m *Member) onNetworkChange(ctx context.Context, do func()) (stop func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-m.network:
			do()
		case <-ctx.Done():
		case <-over:
		}
	}()
	return func() { close(over); <-done }
}

// take does what a line says.
func (m *Member) take(e coordapi.Event) error {
	var events []Event
	var err error
	switch e.Type {
	case coordapi.EventMove:
		return errMoved
	case coordapi.EventRemoved:
		return ErrRemoved
	case coordapi.EventMap:
		return m.takeMap(e.Map)
	case coordapi.EventSession:
		if e.Session != nil && cleanToken(e.Session.Token) != "" {
			m.setToken(e.Session.Token)
		}
	default:
		events, err = m.change(e)
	}
	m.tell(events...)
	if errors.Is(err, errTooMany) {
		m.log.Warn("a coordinator tells of too many peers; the rest is left out")
		err = nil
	}
	return err
}

// change changes the view, and tells the Host.
func (m *Member) change(e coordapi.Event) (events []Event, err error) {
	m.feed.Lock()
	defer m.feed.Unlock()
	m.mu.Lock()
	events, err = m.changeLocked(e)
	if len(events) > 0 {
		m.changedLocked()
	}
	m.mu.Unlock()
	m.host.tell(events)
	if len(events) > 0 {
		m.peersChanged.Send() // after the Host: it can send to them now
	}
	return events, err
}

// changeLocked is for the lines about who is there, and how much has been told.
func (m *Member) changeLocked(e coordapi.Event) (events []Event, err error) {
	switch e.Type {
	case coordapi.EventSnapshot:
		m.view.begin()
		m.state.Stale = e.Stale
	case coordapi.EventResumed, coordapi.EventBeat:
		m.state.Stale = e.Stale
		if m.view.told == nil && m.state.Phase == Connected && e.Cursor != "" {
			m.cursorLocked(e.Cursor)
		}
	case coordapi.EventSelf:
		if e.Peer != nil {
			return m.selfLocked(*e.Peer), nil
		}
	case coordapi.EventPeer:
		if e.Peer != nil {
			return m.view.put(cleanPeer(*e.Peer))
		}
	case coordapi.EventGone:
		return m.view.drop(e.Key), nil
	case coordapi.EventAt:
		return m.atLocked(e.Cursor), nil
	}
	return nil, nil // of a newer version
}

func (m *Member) cursorLocked(cursor string) {
	if cursor = cleanCursor(cursor); cursor != m.view.cursor {
		m.view.cursor, m.save.aged = cursor, true
	}
}

// atLocked is for when all has been told.
func (m *Member) atLocked(cursor string) []Event {
	events := m.view.complete()
	m.cursorLocked(cursor)
	if m.state.Phase != Connected {
		m.phaseLocked(Connected, nil)
		m.told = Connected
		events = append(events, Event{Type: IsConnected})
	}
	return events
}

func (m *Member) selfLocked(p coordapi.Peer) (events []Event) {
	if p.Key != m.view.self.Key {
		return nil
	}
	m.reports.selfLocked(m, cleanHome(p.Home))
	if m.view.isSelf(cleanPeer(p)) {
		events = append(events, Event{Type: SelfChanged})
	}
	return events
}

// takeMap takes a map, or keeps the one before.
func (m *Member) takeMap(text json.RawMessage) error {
	m.mu.Lock()
	changed, err := m.view.take(text)
	m.state.MapErr = err
	if changed {
		m.changedLocked()
	}
	m.mu.Unlock()
	if err != nil {
		m.log.Warn("map", "error", err)
	}
	if changed || err != nil {
		m.mapChanged.Send()
	}
	if changed {
		m.tell(Event{Type: MapChanged})
	}
	return nil
}
