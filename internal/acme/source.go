package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/retry"
)

const (
	// lookEvery is how often the storage is looked at, where another relay may have put a
	// newer certificate.
	lookEvery = time.Hour

	// mostTry bounds one try, beside what a record in the DNS takes its time for.
	mostTry = 10 * time.Minute

	// tellEvery is how often the log is told of what stays wrong.
	tellEvery = 24 * time.Hour
)

// A Source is the certificates that an authority issues. It implements [certs.Source].
type Source struct {
	config  Config
	host    string // of the directory, for people
	wanted  []*wanted
	store   store
	answers *answers
	web     *web
	failure certs.Failure
	wake    chan struct{} // has Run look now; has room

	issued, failed atomic.Uint64 // tries
	next           atomic.Pointer[time.Time]
}

// Open makes a source and loads what the storage has. Nobody is asked before Run. What
// the storage has and cannot be used is told, and had again.
func Open(config Config) (*Source, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	s := &Source{config: config, wanted: sort(config), wake: make(chan struct{}, 1)}
	s.host, s.web = hostOf(config.Directory), newWeb(config.Roots, orDefault(config.answerTime, answerTime))
	s.store = store{config.Storage, issuerKey(config.Directory)}
	s.answers = newAnswers(s.store, config.Names)
	for _, w := range s.wanted {
		w.unread = s.load(context.Background(), w)
		s.note(w)
	}
	return s, nil
}

// ErrNone: no certificate has been issued yet.
var ErrNone = errors.New("there is no certificate yet")

// Certificate implements certs.Source. It also answers authorities.
func (s *Source) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Contains(hello.SupportedProtos, certs.ChallengeProto) {
		return s.answers.certificate(hello.Context(), hello.ServerName)
	}
	pair := s.choose(hello.ServerName)
	if pair == nil {
		return nil, ErrNone
	}
	return pair, nil
}

// choose returns the pair for a name; empty stands for a peer that names nothing. Who
// asks for something else gets the first there is: he may verify nothing, or by a pin.
func (s *Source) choose(name string) (first *tls.Certificate) {
	for _, w := range s.wanted {
		pair := w.pair.Load()
		if pair == nil {
			continue
		}
		if w.fits(pair, name) {
			return pair
		}
		if first == nil {
			first = pair
		}
	}
	return first
}

// Trust implements certs.Source.
func (s *Source) Trust() (pin string, roots *x509.CertPool) {
	var leaves []*x509.Certificate
	for _, w := range s.wanted {
		if pair := w.pair.Load(); pair != nil {
			leaves = append(leaves, pair.Leaf)
		}
	}
	return "", certs.RootsWith(leaves...)
}

// Describe implements certs.Source.
func (s *Source) Describe() (d certs.Description) {
	from := "ACME, " + s.host
	if pair := s.choose(s.config.Names[0]); pair != nil {
		d = certs.Describe(pair, from)
	} else {
		d = certs.Description{Source: from, Names: s.config.Names}
	}
	d.Missing = s.Missing()
	d.NextProtos = []string{certs.ChallengeProto}
	d.Issuance = &certs.Issuance{Issued: s.issued.Load(), Failed: s.failed.Load(), Next: s.next.Load()}
	s.failure.Describe(&d)
	return d
}

// Missing says which certificate there is none of yet, and why; empty: there are all.
// It takes no lock while there are.
func (s *Source) Missing() string {
	var names []string
	for _, w := range s.wanted {
		if w.pair.Load() == nil {
			names = append(names, w.names...)
		}
	}
	if len(names) == 0 {
		return ""
	}
	var d certs.Description
	s.failure.Describe(&d)
	why := d.Failed
	if why == "" {
		why = s.host + " has been asked for one"
	}
	return "none for " + strings.Join(names, ", ") + " yet: " + why
}

// Prepare implements certs.Source: what another process has stored is used, and what
// failed is tried again soon.
func (s *Source) Prepare(context.Context) (use func(), err error) {
	return func() {
		select {
		case s.wake <- struct{}{}:
		default: // it is about to look
		}
	}, nil
}

// Run has certificates issued and renewed until ctx is done.
func (s *Source) Run(ctx context.Context) {
	defer s.web.CloseIdleConnections()
	for woken := false; ; {
		next := s.look(ctx, woken)
		if ctx.Err() != nil {
			return
		}
		s.next.Store(&next)
		began := time.Now()
		if !retry.Rest(ctx, time.Until(next), s.wake) {
			return
		}
		woken = time.Since(began) < next.Sub(began)
	}
}

// look does what is due for all that is wanted, and returns when to look again. Somebody
// who asks for it does not wait for the next try, if the authority lets him.
func (s *Source) look(ctx context.Context, asked bool) (next time.Time) {
	next = time.Now().Add(lookEvery)
	for _, w := range s.wanted {
		if asked {
			w.past, w.anew = past{Of: w.past.Of, NotBefore: s.web.until()}, true
		}
		s.tend(ctx, w)
		for _, at := range []time.Time{w.nextTry(), w.ask} {
			if !at.IsZero() && at.Before(next) {
				next = at
			}
		}
	}
	return next
}

// nextTry is when another certificate is to be had; zero: now.
func (w *wanted) nextTry() time.Time {
	at := w.renewAt
	if w.pair.Load() == nil || w.unkept || at.Before(w.past.NotBefore) {
		at = w.past.NotBefore
	}
	return at
}

// tend does what is due for one.
func (s *Source) tend(ctx context.Context, w *wanted) {
	defer s.note(w)
	before := w.pair.Load()
	w.unread = s.load(ctx, w)
	s.keepAgain(ctx, w)
	s.inform(ctx, w)
	if !w.due(time.Now()) {
		if w.pair.Load() != before { // of another relay, which had better luck
			s.conclude(w, nil)
		}
		return
	}
	if s.recall(ctx, w); time.Now().Before(w.past.NotBefore) && w.past.Failed != "" {
		return // without an end, a try may be going on: obtain waits for it
	}
	asked, err := s.obtain(ctx, w)
	s.note(w)
	switch { // who counts sees what has become of it, too
	case ctx.Err() != nil || !asked && err == nil:
	case err == nil:
		s.issued.Add(1)
	default:
		s.failed.Add(1)
	}
}

// note has others see what is wrong, and tells it when it is new, and then once a day.
func (s *Source) note(w *wanted) {
	var all []string
	for _, other := range s.wanted {
		if err := other.wrong(); err != nil {
			all = append(all, err.Error())
		}
	}
	if len(all) > 0 {
		s.failure.Note(errors.New(strings.Join(all, "; ")))
	} else {
		s.failure.Note(nil)
	}
	err := w.wrong()
	if err == nil {
		w.told = ""
	} else if text := err.Error(); text != w.told || time.Since(w.toldAt) >= tellEvery {
		w.told, w.toldAt = text, time.Now()
		s.tell(w, err)
	}
}

// wrong is why there is no better certificate; nil: it is as it should be.
func (w *wanted) wrong() error {
	if w.failed != nil {
		return w.failed
	}
	return line(w.unread)
}

func (s *Source) tell(w *wanted, err error) {
	log := s.config.Logger.With("names", w.String(), "reason", err)
	if !w.past.NotBefore.IsZero() {
		log = log.With("again", w.past.NotBefore.UTC().Format(time.RFC3339))
	}
	pair := w.pair.Load()
	switch {
	case pair == nil:
		log.Error("there is no certificate yet, and peers cannot come in")
	case time.Now().After(pair.Leaf.NotAfter):
		log.Error("the certificate in use has expired and cannot be renewed: peers refuse it")
	default:
		log.Warn("the certificate cannot be renewed; the one in use stays", "expires", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
}
