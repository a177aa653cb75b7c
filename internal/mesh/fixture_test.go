package mesh

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/internal/logtest"
	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

var errRefused = errors.New("refused")

// A world plays network, DNS and siblings for one mesh, in a synctest bubble.
type world struct {
	t    *testing.T
	mesh *Mesh
	log  *lines
	came retry.Broadcast // a sibling has come to us

	mu       sync.Mutex
	siblings map[string]sibling // by address and port; without one: refused
	dns      map[string][]string
	srv      map[string][]*net.SRV
	dnsErr   error
	dials    []dialled
	lookups  int
	open     int // links
	mostOpen int
}

// A sibling plays one link: what it returns ends it.
type sibling func(ctx context.Context, to relay.Sibling) error

type dialled struct {
	at    string
	after time.Duration
}

// inWorld runs a test with a mesh of that configuration, which runs until the
// test ends.
func inWorld(t *testing.T, cfg Config, play func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: &lines{}, siblings: map[string]sibling{}, dns: map[string][]string{}, srv: map[string][]*net.SRV{}}
		cfg.LookupNetIP, cfg.LookupSRV, cfg.Logger = w.lookupNetIP, w.lookupSRV, w.log.logger()
		w.mesh = newMesh(cfg)
		w.mesh.dial, w.mesh.link, w.mesh.siblingSeen = w.dial, w.link, w.came.Wait
		w.mesh.closeNotIdeal = func(string, time.Duration, int) int { return 0 }
		w.change(cfg)
		play(t, w)
	})
}

// change has the siblings of another configuration.
func (w *world) change(cfg Config) {
	w.t.Helper()
	apply, err := w.mesh.Prepare(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	apply()
}

// run lets the mesh run for a time.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.mesh.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
		if open, _ := w.links(); open != 0 {
			w.t.Errorf("%d links are left", open)
		}
	}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// setDNS makes a name lead to addresses; none means that it is not there.
func (w *world) setDNS(name string, addrs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dns[name] = addrs
}

func (w *world) lookedUp() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lookups
}

func (w *world) set(at string, s sibling) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s == nil {
		delete(w.siblings, at)
		return
	}
	w.siblings[at] = s
}

var worldBegan = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every bubble

func (w *world) dial(ctx context.Context, _ target, at netip.AddrPort) (relay.Stream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dials = append(w.dials, dialled{at.String(), time.Since(worldBegan)})
	s, ok := w.siblings[at.String()]
	if !ok {
		return nil, errRefused
	}
	return fakeStream{play: s}, nil
}

type fakeStream struct {
	relay.Stream
	play sibling
}

func (w *world) link(ctx context.Context, stream relay.Stream, to relay.Sibling) error {
	w.count(1)
	defer w.count(-1)
	return stream.(fakeStream).play(ctx, to)
}

func (w *world) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open += n
	w.mostOpen = max(w.mostOpen, w.open)
}

// links returns how many links are open, and how many were at most.
func (w *world) links() (open, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open, w.mostOpen
}

func (w *world) lookupNetIP(_ context.Context, _, host string) (addrs []netip.Addr, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	for _, addr := range w.dns[host] {
		addrs = append(addrs, netip.MustParseAddr(addr))
	}
	if len(addrs) == 0 {
		if w.dnsErr == nil {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return nil, w.dnsErr
	}
	return addrs, nil
}

func (w *world) lookupSRV(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if service != "" || proto != "" {
		w.t.Errorf("SRV look-up of %q, %q, %q", service, proto, name)
	}
	return name, w.srv[name], w.dnsErr
}

// stateOf returns the one sibling of that name, or that address.
func (w *world) stateOf(which string) State {
	w.t.Helper()
	for _, s := range w.mesh.Siblings() {
		if s.Name == which || s.Addr.String() == which {
			return s
		}
	}
	w.t.Fatalf("no sibling %s in %+v", which, w.mesh.Siblings())
	return State{}
}

func (w *world) wantStatus(which string, want Status) {
	w.t.Helper()
	if s := w.stateOf(which); s.Status != want {
		w.t.Errorf("%s is %+v, want %s", which, s, want)
	}
}

// gaps returns the times between the dials of an address.
func (w *world) gaps(at string) (gaps []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := time.Duration(-1)
	for _, d := range w.dials {
		if d.at != at {
			continue
		}
		if last >= 0 {
			gaps = append(gaps, d.after-last)
		}
		last = d.after
	}
	return gaps
}

func (w *world) dialsOf(at string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dials {
		if d.at == at {
			n++
		}
	}
	return n
}

// good is a sibling whose links live until the mesh ends them.
func good(ctx context.Context, to relay.Sibling) error {
	to.Linked(key.Public{1})
	<-ctx.Done()
	return io.ErrClosedPipe
}

// lives is a sibling whose links end after a time.
func lives(d time.Duration) sibling {
	return func(ctx context.Context, to relay.Sibling) error {
		to.Linked(key.Public{1})
		select {
		case <-time.After(d):
			return io.EOF
		case <-ctx.Done():
			return io.ErrClosedPipe
		}
	}
}

func fails(err error) sibling {
	return func(context.Context, relay.Sibling) error { return err }
}

// lines are what was logged, at info level and above.
type lines struct{ logtest.Log }

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) wantCount(t *testing.T, text string, want int) {
	t.Helper()
	if n := strings.Count(l.String(), text); n != want {
		t.Errorf("%d times %q, want %d, in:\n%s", n, text, want, l)
	}
}

func mustParse(t *testing.T, list string) []Entry {
	t.Helper()
	entries, err := ParseEntries(list)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
