package acme

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/detour-relay/detour/internal/retry"
)

// A past is what has become of the tries for one certificate. It is stored before
// something counts at the authority, and again when that has come to an end: a process
// that dies and is started again and again asks no more often than one that lives, and
// of relays that share a storage each waits for all.
type past struct {
	Of        string    `json:"of"`         // what was asked for, and how: whoever wants something else begins anew
	Away      int       `json:"away"`       // tries in a row that did not get to the authority
	Refused   int       `json:"refused"`    // others
	NotBefore time.Time `json:"not_before"` // the next
	Failed    string    `json:"failed"`     // why the last was in vain; empty: it has not come to an end
}

// mostLater bounds when the next try can be. What is stored as later was so by a clock
// that was wrong.
const mostLater = mostRest + time.Hour

func (s store) pastKey(name string) string {
	return path.Join(s.issuer, "tries", certmagic.StorageKeys.Safe(name)+".json")
}

// fingerprint tells configurations apart, of which one may have what another has not.
func (c Config) fingerprint(w *wanted) string {
	text, _ := json.Marshal([]any{ // strings
		w.names, w.profile, c.Directory, c.Contact, c.Account, c.Challenge, c.Records.Hook, c.Records.Server, c.Records.Wait, c.Records.key.String(),
	})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// recall takes over what is stored of tries, those of other processes included.
func (s *Source) recall(ctx context.Context, w *wanted) {
	if w.anew {
		return
	}
	text, err := s.store.load(ctx, s.store.pastKey(w.names[0]))
	if err != nil {
		return // whoever cannot read there does not get as far as the authority
	}
	var p past
	if text == nil || json.Unmarshal(text, &p) != nil || p.Of != w.past.Of || p.NotBefore.After(time.Now().Add(mostLater)) {
		return
	}
	if p.NotBefore.Equal(w.past.NotBefore) {
		return // it is ours
	}
	w.past, w.failed = p, errors.New(p.Failed)
	if p.Failed == "" {
		w.failed = fmt.Errorf("the process that asked %s last has ended meanwhile: another try is made in its time", s.host)
	}
}

// begin stores that a try is made. If nothing more is heard of it, it was one that was
// refused.
func (s *Source) begin(ctx context.Context, w *wanted) error {
	p := w.past
	p.Refused++
	p.NotBefore, p.Failed = time.Now().Add(pause(w.refused, p.Refused)), ""
	w.anew = false
	return s.keepPast(ctx, w, p)
}

// conclude draws the conclusion from a try, which nobody has cut short.
func (s *Source) conclude(w *wanted, err error) {
	if err == nil {
		w.past = past{Of: w.past.Of}
		w.failed, w.unread = nil, nil
		return
	}
	wait := time.Duration(0)
	if isAway(err) {
		w.past.Away++
		wait = pause(w.away, w.past.Away)
	} else {
		w.past.Refused++
		wait = pause(w.refused, w.past.Refused)
	}
	w.past.NotBefore = time.Now().Add(wait)
	if until := s.web.until(); until.After(w.past.NotBefore) {
		w.past.NotBefore = until
	}
	w.failed = s.explained(w, err)
	w.past.Failed = w.failed.Error()
}

// cutShort is the conclusion from a try that this process had no time for. It says
// nothing, but may have counted at the authority.
func (w *wanted) cutShort() {
	w.past.Away++
	w.past.NotBefore = time.Now().Add(pause(w.away, w.past.Away))
	w.past.Failed = "the last try was cut short by the end of its process"
}

// remember stores the past for the next process. One that cannot be stored is as begin
// has left it.
func (s *Source) remember(ctx context.Context, w *wanted) {
	ctx = context.WithoutCancel(ctx)
	var err error
	if w.past.NotBefore.IsZero() {
		err = s.store.forget(ctx, s.store.pastKey(w.names[0]))
	} else {
		err = s.keepPast(ctx, w, w.past)
	}
	if err != nil {
		s.config.Logger.Debug("what has become of a try is not kept", "names", w.String(), "reason", err)
	}
}

func (s *Source) keepPast(ctx context.Context, w *wanted, p past) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return s.store.keep(ctx, s.store.pastKey(w.names[0]), text)
}

// pause is how long to wait after so many failures in a row.
func pause(b retry.Backoff, failures int) time.Duration {
	b.Resume(failures - 1)
	return b.Next()
}
