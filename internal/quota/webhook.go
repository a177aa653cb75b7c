package quota

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/retry"
)

// A message is what a webhook is told.
type message struct {
	url func() (string, error) // a secret

	Event    string    `json:"event"` // soft, hard or resumed
	Relay    string    `json:"relay"`
	Used     int64     `json:"used"` // bytes
	Mark     int64     `json:"mark"`
	Month    time.Time `json:"month"` // when it began
	ResetsAt time.Time `json:"resets_at"`
	At       time.Time `json:"at"`
}

// A Hook is how telling the webhook went.
type Hook struct {
	Sent    uint64 `json:"sent"`
	Failed  uint64 `json:"failed"`  // attempts
	GaveUp  uint64 `json:"gave_up"` // messages that nobody took
	Waiting int    `json:"waiting"`
	Error   string `json:"error"` // of the last attempt; empty: it went well
}

const (
	hookTimeout  = 10 * time.Second // of one attempt
	hookAttempts = 40               // about five hours with the waits between them
	hookFirst    = 2 * time.Second
	hookMost     = 10 * time.Minute
	mostWaiting  = 8 // messages; the oldest gives way
)

// A webhook tells messages one after the other, again and again until somebody takes
// them.
type webhook struct {
	log    *slog.Logger
	client *http.Client
	wake   chan struct{}

	mu      sync.Mutex
	waiting []message // guarded by mu
	how     Hook      // guarded by mu
}

func newWebhook(log *slog.Logger) *webhook {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // it is used twice a month
	return &webhook{log: log, wake: make(chan struct{}, 1), client: &http.Client{
		Transport: transport,
		Timeout:   hookTimeout,
		// What is meant for one place is not told to another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (w *webhook) push(m message) {
	w.mu.Lock()
	if w.waiting = append(w.waiting, m); len(w.waiting) > mostWaiting {
		w.waiting = w.waiting[1:]
		w.how.GaveUp++
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *webhook) next() (m message, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return m, false
	}
	m, w.waiting = w.waiting[0], w.waiting[1:]
	return m, true
}

func (w *webhook) state() Hook {
	w.mu.Lock()
	defer w.mu.Unlock()
	how := w.how
	how.Waiting = len(w.waiting)
	return how
}

// run tells messages until ctx is done.
func (w *webhook) run(ctx context.Context) {
	for {
		m, ok := w.next()
		if ok {
			w.tell(ctx, m)
			continue
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
	}
}

// tell tries until somebody takes the message, or it has been tried often.
func (w *webhook) tell(ctx context.Context, m message) {
	wait := retry.Backoff{First: hookFirst, Most: hookMost}
	for attempt := 1; ctx.Err() == nil; attempt++ {
		err := w.post(ctx, m)
		w.note(func(how *Hook) {
			how.Error = ""
			if err == nil {
				how.Sent++
				return
			}
			how.Failed++
			how.Error = err.Error()
		})
		switch {
		case err == nil:
			return
		case attempt == hookAttempts:
			w.note(func(how *Hook) { how.GaveUp++ })
			w.log.Error("quota: the webhook cannot be told; nothing more is tried", "event", m.Event, "attempts", attempt, "reason", err)
			return
		case attempt == 1:
			w.log.Warn("quota: the webhook cannot be told; it is tried again", "event", m.Event, "reason", err)
		}
		retry.Rest(ctx, wait.Next(), nil)
	}
	w.note(func(how *Hook) { how.GaveUp++ })
	w.log.Error("quota: the relay ends, and the webhook has not been told", "event", m.Event, "used", m.Used, "mark", m.Mark)
}

func (w *webhook) note(f func(*Hook)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.how)
}

// post tries once. Its errors have no more of the URL than the host.
func (w *webhook) post(ctx context.Context, m message) error {
	to, err := m.url()
	if err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(text))
	if err != nil {
		return errors.New("what stands for its URL is none")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "detour")
	answer, err := w.client.Do(request)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL
	}
	if err != nil {
		return fmt.Errorf("%s: %w", request.URL.Host, err)
	}
	defer answer.Body.Close()
	io.CopyN(io.Discard, answer.Body, 64<<10) // whatever it says
	switch {
	case answer.StatusCode >= 200 && answer.StatusCode < 300:
		return nil
	case answer.StatusCode >= 300 && answer.StatusCode < 400:
		return fmt.Errorf("%s: %s: redirects are not followed; give the URL that it leads to", request.URL.Host, answer.Status)
	}
	return fmt.Errorf("%s: %s", request.URL.Host, answer.Status)
}
