// Package bootstrap tells the addresses of a few names to clients whose DNS is broken:
// they ask a relay, which they reach by its address (spec 1.10).
//
// # Words
//
//   - published: told to everybody, all together.
//   - unpublished: told to who asks for that name, if its address is among those for
//     whom it is already.
//   - rollout: to how many of a hundred addresses a name is told. A TXT record says so.
//
// What cannot be looked up for the moment stays as it was. What the DNS says there is
// not is told to nobody any more.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/hostname"
	"github.com/detour-relay/detour/internal/retry"
)

const (
	refreshEvery  = 10 * time.Minute
	refreshBudget = time.Minute // for all names together
	atOnce        = 8           // lookups

	// mostNames bounds either list: each name is looked up again and again.
	mostNames = 200
)

// Config is what [Names] are made from.
type Config struct {
	Published   []string
	Unpublished []string // name, or name/name of the TXT record of its rollout

	Resolver Resolver     // nil: that of this machine
	Logger   *slog.Logger // nil discards
}

// A Resolver looks names up. A [*net.Resolver] is one.
type Resolver interface {
	LookupIP(ctx context.Context, network, host string) ([]net.IP, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// An entry is one name as it was configured.
type entry struct{ name, rollout string }

// Check says what is wrong with a list of names.
func Check(list []string) error {
	_, err := parse(list)
	return err
}

func parse(list []string) ([]entry, error) {
	if len(list) > mostNames {
		return nil, fmt.Errorf("%d names: want %d at most", len(list), mostNames)
	}
	var entries []entry
	seen := make(map[string]bool)
	for _, text := range list {
		e := entry{}
		e.name, e.rollout, _ = strings.Cut(text, "/")
		if _, err := hostname.Parse(e.name); err != nil {
			return nil, fmt.Errorf("%q: want a DNS name, perhaps with a slash and the name of a TXT record: %w", text, err)
		}
		if strings.Contains(text, "/") && !isRecord(e.rollout) {
			return nil, fmt.Errorf("%q: want the name of a TXT record behind the slash, or no slash", text)
		}
		if seen[e.name] {
			return nil, fmt.Errorf("%q stands there twice: remove one of them", e.name)
		}
		seen[e.name] = true
		entries = append(entries, e)
	}
	return entries, nil
}

// isRecord reports whether a TXT record can be called so: underscores are usual there.
func isRecord(name string) bool {
	_, err := hostname.Parse(name)
	wrong, ok := errors.AsType[*hostname.Error](err)
	return err == nil || ok && wrong.Kind == hostname.Underscore
}

// Names are those of one relay. Its methods may be called by any goroutine.
type Names struct {
	resolver Resolver
	log      *slog.Logger
	wake     chan struct{} // gets a token when there are other names
	answers  atomic.Pointer[answers]

	mu                     sync.Mutex
	published, unpublished []entry // guarded by mu

	known map[entry]addresses // what was found last; owned by Run
}

// New checks the lists. Nothing is known before Run.
func New(c Config) (*Names, error) {
	n := &Names{resolver: c.Resolver, log: c.Logger, wake: make(chan struct{}, 1), known: make(map[entry]addresses)}
	if n.resolver == nil {
		n.resolver = net.DefaultResolver
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	apply, err := n.Prepare(c.Published, c.Unpublished)
	if err != nil {
		return nil, err
	}
	apply()
	<-n.wake // Run begins with these
	n.answers.Store(&answers{})
	return n, nil
}

// Prepare checks other lists, and returns what has them looked up from then on.
func (n *Names) Prepare(published, unpublished []string) (apply func(), err error) {
	all, err := parse(published)
	if err != nil {
		return nil, err
	}
	some, err := parse(unpublished)
	if err != nil {
		return nil, err
	}
	return func() {
		n.mu.Lock()
		n.published, n.unpublished = all, some
		n.mu.Unlock()
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}, nil
}

// Answer is what is told to who asks for a name, or for none.
func (n *Names) Answer(name string, from netip.Addr) []byte { return n.answers.Load().to(name, from) }

// Run looks the names up, again and again until ctx is done.
func (n *Names) Run(ctx context.Context) {
	for ctx.Err() == nil {
		n.refresh(ctx)
		retry.Rest(ctx, refreshEvery, n.wake)
	}
}

// refresh looks all names up.
func (n *Names) refresh(ctx context.Context) {
	n.mu.Lock()
	published, unpublished := n.published, n.unpublished
	n.mu.Unlock()
	budget, cancel := context.WithTimeout(ctx, refreshBudget)
	defer cancel()
	all := make(map[entry]bool)
	for _, e := range slices.Concat(published, unpublished) {
		all[e] = true
	}
	found := n.lookupAll(budget, all)
	if ctx.Err() != nil {
		return // the relay ends: what was cut short says nothing
	}
	n.known = found
	n.answers.Store(newAnswers(published, unpublished, found))
}

// lookupAll looks up several at a time.
func (n *Names) lookupAll(ctx context.Context, entries map[entry]bool) map[entry]addresses {
	found := make(map[entry]addresses)
	slots := make(chan struct{}, atOnce)
	var mu sync.Mutex
	var looking sync.WaitGroup
	for e := range entries {
		looking.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			a := n.lookup(ctx, e, n.known[e])
			mu.Lock()
			defer mu.Unlock()
			found[e] = a
		})
	}
	looking.Wait()
	return found
}

// lookup returns what the DNS says of an entry, or what it said before.
func (n *Names) lookup(ctx context.Context, e entry, before addresses) addresses {
	now := addresses{percent: 100}
	var err error
	if now.ips, err = n.resolver.LookupIP(ctx, "ip", e.name); err != nil {
		now.ips = n.missed(e.name, err, before.ips)
	}
	if e.rollout == "" {
		return now
	}
	texts, err := n.resolver.LookupTXT(ctx, e.rollout)
	switch now.percent = percentOf(texts); {
	case err == nil:
	case isGone(err):
		now.percent = 0
	default:
		now.percent = before.percent
	}
	if err != nil {
		n.missed(e.rollout, err, nil)
	}
	return now
}

// missed logs that a name could not be looked up, and returns what stays.
func (n *Names) missed(name string, err error, before []net.IP) []net.IP {
	if isGone(err) {
		n.log.Warn("a bootstrap name is not in the DNS: it is told to nobody", "name", name, "reason", err)
		return nil
	}
	n.log.Warn("a bootstrap name cannot be looked up: what was known of it stays", "name", name, "reason", err)
	return before
}

// isGone reports whether the DNS has said that there is no such name.
func isGone(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound && !e.IsTemporary
}
