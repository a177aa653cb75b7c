package mesh

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/retry"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// Pauses between tries.
const (
	// After a failure or a lost link: growing.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second

	// wakePause is the shortest time between two pauses that end early because some
	// sibling has come to us: so does one that was down, and it may be this one.
	wakePause = time.Second

	// steady is how long a link lives that makes the pauses short again.
	steady = 10 * time.Second

	// knownPause is the pause when the sibling has a link already. It ends early
	// when a link is lost, which may have been that one.
	knownPause = 30 * time.Second

	// operatorPause is the pause when an operator has to change something: the
	// sibling has refused us twice in a row, which is for want of the right mesh key,
	// or announces more keys than it may.
	operatorPause = 15 * time.Second

	// longestRestart bounds the pause that a sibling asks for before it restarts.
	longestRestart = time.Minute
)

// A keeper keeps the link to one target.
type keeper struct {
	// Set once.
	mesh  *Mesh
	to    target
	found *discovery // what led to the target; nil for an entry

	// Owned by run.
	pace    retry.Backoff
	woken   time.Time // when a pause last ended early
	refused int       // how often in a row the sibling took us for none of its own
	old     *try      // a link that lives on while its sibling restarts; nil: none

	tries sync.WaitGroup

	mu     sync.Mutex
	now    State   // guarded by mu
	newest *try    // guarded by mu
	up     int     // guarded by mu: good links
	warned trouble // guarded by mu
}

// trouble is what the operator was last told about a sibling.
type trouble int

const (
	noTrouble trouble = iota
	unlinked
	wrongMeshKey
)

// A try is one attempt to link, and the link if it comes to that.
type try struct {
	began      time.Time
	restarting chan time.Duration // gets the pause that the sibling asks for, once
	ended      chan struct{}      // closed at the end
	cancel     context.CancelFunc

	linkedAt time.Time // guarded by the keeper's mu; zero: not linked
	err      error     // why it ended; set before ended is closed
}

// run makes one try after the other until ctx is done, or there is no sense in
// another. When a sibling says that it restarts, the next try begins while the
// link lives on, so that there is always a way to its peers.
func (k *keeper) run(ctx context.Context) {
	defer k.tries.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		lost, seen := k.mesh.lost.Wait(), k.mesh.siblingSeen()
		t := k.start(ctx)
		var again bool
		select {
		case <-t.ended:
			again = k.pause(ctx, t, lost, seen)
		case in := <-t.restarting:
			k.replaceOld(t)
			again = k.pauseRestarting(ctx, t, min(in, longestRestart))
		}
		if !again {
			return
		}
	}
}

// start begins a try.
func (k *keeper) start(ctx context.Context) *try {
	ctx, cancel := context.WithCancel(ctx)
	t := &try{
		began:      time.Now(),
		restarting: make(chan time.Duration, 1),
		ended:      make(chan struct{}),
		cancel:     cancel,
	}
	k.dialling(t)
	k.tries.Go(func() {
		defer close(t.ended)
		defer cancel()
		t.err = k.try(ctx, t)
		k.over(ctx, t)
	})
	return t
}

// try dials the sibling and links to it until the link ends.
func (k *keeper) try(ctx context.Context, t *try) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dialling, dialled := context.WithDeadlineCause(ctx, t.began.Add(tryBudget), errSlow)
	stream, at, err := k.mesh.connect(dialling, k.to, k.at)
	dialled()
	if err != nil {
		return err
	}
	expire := time.AfterFunc(time.Until(t.began.Add(tryBudget)), func() { cancel(errMute) })
	defer expire.Stop()
	var once sync.Once
	err = k.mesh.link(ctx, stream, relay.Sibling{
		Name: k.to.Name,
		Addr: at,
		Linked: func(sibling key.Public) {
			expire.Stop()
			k.linked(t, sibling, at)
		},
		Restarting: func(in, _ time.Duration) { once.Do(func() { t.restarting <- in }) },
	})
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

// errMute: the sibling has not told of any peer. It has at least our own conn.
var errMute = fmt.Errorf("the sibling has not told us its peers within %v", tryBudget)

// replaceOld makes t the link that lives on. There is one of them: a sibling that
// announces restart after restart loses those that it had announced before.
func (k *keeper) replaceOld(t *try) {
	if k.old != nil {
		k.old.cancel()
	}
	k.old = t
}

// pause waits for the time of the next try. It reports false if there is none.
func (k *keeper) pause(ctx context.Context, t *try, lost, seen <-chan struct{}) bool {
	if !errors.Is(t.err, relay.ErrNotSibling) {
		k.refused = 0
	}
	switch {
	case ctx.Err() != nil:
		return false
	case errors.Is(t.err, relay.ErrSelf), errors.Is(t.err, relay.ErrShutdown):
		return false
	case errors.Is(t.err, relay.ErrLinked):
		return k.rest(ctx, retry.Jitter(knownPause), lost)
	case errors.Is(t.err, relay.ErrNotSibling):
		// Once may be chance: a sibling that is just going down.
		if k.refused++; k.refused > 1 {
			return k.rest(ctx, retry.Jitter(operatorPause), nil)
		}
	case errors.Is(t.err, relay.ErrTooManyPeers):
		return k.rest(ctx, retry.Jitter(operatorPause), nil)
	}
	return k.pauseUnlessSeen(ctx, k.nextPause(t), seen)
}

// pauseUnlessSeen waits for d, or until a sibling comes to us. The second of two that
// come soon after each other has to wait for wakePause: it may be the one, too.
func (k *keeper) pauseUnlessSeen(ctx context.Context, d time.Duration, seen <-chan struct{}) bool {
	until := time.Now().Add(d)
	if !k.rest(ctx, d, seen) {
		return false
	}
	select {
	case <-seen:
		wait := min(time.Until(k.woken.Add(wakePause)), time.Until(until))
		again := k.rest(ctx, wait, nil)
		k.woken = time.Now()
		return again
	default:
		return true
	}
}

// pauseRestarting waits for the time that a restarting sibling has asked for, or
// until the link ends. It is not shorter than after a failure.
func (k *keeper) pauseRestarting(ctx context.Context, t *try, in time.Duration) bool {
	pause := k.nextPause(t)
	return k.rest(ctx, pause, nil) && k.rest(ctx, in-pause, t.ended)
}

// nextPause returns the pause after a try.
func (k *keeper) nextPause(t *try) time.Duration {
	k.mu.Lock()
	linkedAt := t.linkedAt
	k.mu.Unlock()
	if !linkedAt.IsZero() && time.Since(linkedAt) >= steady {
		k.pace.Reset()
	}
	return k.pace.Next()
}

// rest waits for d, or until wake is closed. It reports false if ctx is done.
func (k *keeper) rest(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	k.mu.Lock()
	k.now.NextTry = time.Now().Add(d)
	k.mu.Unlock()
	return retry.Rest(ctx, d, wake)
}

func (k *keeper) state() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// dialling notes that a try begins.
func (k *keeper) dialling(t *try) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.newest, k.now.NextTry = t, time.Time{}
	if k.up == 0 {
		k.now.Status = Dialling
	}
}

// at notes where the sibling is dialled. While an old link is good, that is
// where the sibling is.
func (k *keeper) at(addr netip.AddrPort) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.up == 0 {
		k.now.Addr = addr
	}
}
