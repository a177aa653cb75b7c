// Package reported tells a server which region is home, and knows what those who
// hear of it from there may believe: they hear of another home only once a report of
// it has been taken.
package reported

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/mailbox"
)

// mostBelieved bounds Believed.
const mostBelieved = 4

// Reporter hands homes of type H to a server, one at a time, the latest until it is
// taken.
type Reporter[H any] struct {
	// Set once.
	region  func(H) int
	report  func(context.Context, H) error
	changed func()

	offered *mailbox.Mailbox[numbered[H]]

	mu      sync.Mutex
	number  uint64    // of the latest; guarded by mu
	pending time.Time // since when none was taken; zero: the latest was; guarded by mu
	err     error     // of the last one, if it was not taken; guarded by mu

	// believed has the region that was taken last (0: none was), and then those that
	// were handed over since: they may have been taken, too, and the answer was lost.
	believed []int // guarded by mu
}

type numbered[H any] struct {
	home   H
	number uint64
}

// New returns one that begins with the region that the server has from before; 0:
// none. region says which one a home is, and changed is called after each report. It
// must not wait. If report is nil, nobody is told, and nobody believes anything.
func New[H any](region func(H) int, report func(context.Context, H) error, before int, changed func()) *Reporter[H] {
	if report == nil {
		before = 0
	}
	return &Reporter[H]{
		region: region, report: report, changed: changed, believed: []int{before}, offered: mailbox.New[numbered[H]](),
	}
}

// Offer has a home reported. It does not wait.
func (r *Reporter[H]) Offer(home H) {
	if r.report == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending.IsZero() {
		r.pending = time.Now()
	}
	r.number++
	r.offered.Put(numbered[H]{home, r.number})
}

// Run reports until ctx ends.
func (r *Reporter[H]) Run(ctx context.Context) {
	r.offered.Deliver(ctx, func(ctx context.Context, n numbered[H]) error {
		region := r.region(n.home)
		r.begin(region)
		err := r.report(ctx, n.home)
		r.end(region, n.number, err)
		r.changed()
		return err
	})
}

func (r *Reporter[H]) begin(region int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.believed, region) {
		return
	}
	if r.believed = append(r.believed, region); len(r.believed) > mostBelieved {
		r.believed = slices.Delete(r.believed, 1, 2)
	}
}

func (r *Reporter[H]) end(region int, number uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	if err != nil {
		return
	}
	r.believed = []int{region}
	if number == r.number {
		r.pending = time.Time{}
	}
}

// Believed returns the regions that others may believe to be the home: the one that
// was taken last, 0 if none was, and at most three more.
func (r *Reporter[H]) Believed() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.believed)
}

// Taken returns the region that was taken last, 0 if none was; since when a report
// waits to be taken, zero if none does; and why the last one was not, nil if it was.
func (r *Reporter[H]) Taken() (region int, pending time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.believed[0], r.pending, r.err
}
