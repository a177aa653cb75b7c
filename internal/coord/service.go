package coord

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/coordstore"
)

// Config is what a Service needs. Store is required, and stays the caller's.
type Config struct {
	Store coordstore.Store

	// Name of this coordinator: letters and digits, another for each. Empty: a random
	// one.
	Name string

	// Contacts are the coordinators that invites name. It is asked for each invite, as
	// certificates change. Nil: no invites can be made.
	Contacts func() []coordapi.Contact

	// OpenVerify: whoever can reach /verify may ask, without a relay's token, about
	// members of any tailnet.
	OpenVerify bool

	Limits Limits
	Log    *slog.Logger // nil: nobody is told
}

// A Service is a coordinator. Run has to run for it to answer.
type Service struct {
	cfg        Config
	store      coordstore.Store
	state      *coordstate.State
	log        *slog.Logger
	secret     atomic.Pointer[secrets]
	used       used
	sources    *askers
	total      *askers
	members    *askers
	relays     *askers
	turns      [64]chan struct{} // of writes, by tailnet
	counts     counts
	streams    streams
	rivals     rivals
	maps       mapFeed
	nameClaims nameClaims
	draining   atomic.Bool
	waits      atomic.Bool // a stream has seen more than this coordinator
	started    time.Time

	lastHere time.Time // owned by showPresence, as is what it leaves
	leaves   []written
}

// New checks the config.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil {
		return nil, errors.New("a coordinator needs a store")
	}
	if cfg.Name == "" {
		cfg.Name = strings.ToLower(rand.Text()[:12])
	}
	if !coordstate.IsLabel(cfg.Name) {
		return nil, fmt.Errorf("a coordinator cannot be called %q: want letters, digits and dashes", cfg.Name)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := cfg.Limits.orDefaults()
	cfg.Limits = l
	s := &Service{
		cfg: cfg, store: cfg.Store, state: coordstate.New(cfg.Name), log: cfg.Log, started: time.Now(),
		sources: newAskers(l.Source, l.Sources), total: newAskers(l.Total, 1),
		members: newAskers(l.Member, l.Sources), relays: newAskers(l.Relay, l.Sources),
	}
	for i := range s.turns {
		s.turns[i] = make(chan struct{}, 1)
	}
	return s, nil
}

// Run watches the store and keeps the streams until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var all sync.WaitGroup
	follow := func(bucket string) {
		all.Go(func() { coordstore.Follow(ctx, watched{s.store, s.state}, bucket, s.state.Watcher(bucket), s.log) })
	}
	follow(coordstore.Hard)
	if s.state.Wait(ctx, coordstore.Hard, 0) == nil {
		for n := range coordstore.SoftBuckets {
			follow(coordstore.Soft(n))
		}
	}
	for _, f := range []func(context.Context){s.keepSecrets, s.beat, s.showPresence, s.tidy, s.keepMap} {
		all.Go(func() { f(ctx) })
	}
	<-ctx.Done()
	s.draining.Store(true)
	s.streams.closeAll()
	all.Wait()
	s.leave()
	return nil
}

// watched tells the state when a watching ends.
type watched struct {
	coordstore.Store
	state *coordstate.State
}

func (w watched) Watch(ctx context.Context, bucket string, to coordstore.Watcher) error {
	defer w.state.Broken(bucket)
	return w.Store.Watch(ctx, bucket, to)
}

// Ready says why the service cannot answer yet.
func (s *Service) Ready() error {
	if !s.state.Ready() {
		return errors.New("the store has not been loaded yet")
	}
	_, err := s.secrets()
	return err
}

// keepSecrets makes the cluster's secrets if nobody has.
func (s *Service) keepSecrets(ctx context.Context) {
	if s.state.Wait(ctx, coordstore.Hard, 0) != nil {
		return
	}
	for ctx.Err() == nil {
		if value, _ := s.state.Single(coordstate.KeySecret); value == nil {
			_, err := s.store.Create(ctx, coordstore.Hard, coordstate.KeySecret, coordstate.Encode(newSecrets()))
			if err != nil && !errors.Is(err, coordstore.ErrConflict) && ctx.Err() == nil {
				s.log.Warn("the secrets of the cluster cannot be written yet", "err", err)
			}
		}
		rest(ctx, time.Second)
	}
}

// rest waits.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Handler is what members and relays call.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+coordapi.PathChallenge, s.strangers(s.challenge))
	mux.HandleFunc("POST "+coordapi.PathJoin, s.strangers(s.join))
	mux.HandleFunc("POST "+coordapi.PathLogin, s.strangers(s.login))
	mux.HandleFunc("GET "+coordapi.PathWatch, s.watch)
	mux.HandleFunc("PUT "+coordapi.PathSelf, s.member(s.putSelf))
	mux.HandleFunc("GET "+coordapi.PathPeer+"{key}", s.member(s.getPeer))
	mux.HandleFunc("GET "+coordapi.PathMap, s.member(s.getMap))
	mux.HandleFunc("POST "+coordapi.PathVerify, s.answer(s.verify))
	mux.HandleFunc("POST "+coordapi.PathVerify+"/{token}", s.answer(s.verify))
	mux.HandleFunc("GET "+coordapi.PathRelayWatch, s.watchRelay)
	mux.HandleFunc("/", s.answer(func(http.ResponseWriter, *http.Request) (any, error) {
		return nil, refuse(coordapi.CodeNotFound, "a coordination server has no such call, or not with this method")
	}))
	return Bounded(mux)
}
