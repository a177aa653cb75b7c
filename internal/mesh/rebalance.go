package mesh

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"
)

const (
	// settled is how long a sibling has to be linked before peers are sent back to
	// it.
	settled = 30 * time.Second

	// A conn is closed only if it has had no packets for rebalanceQuiet, and at most
	// rebalanceAtMost each rebalanceTick: for its peer, this is a reconnection.
	rebalanceTick   = time.Second
	rebalanceQuiet  = 10 * time.Second
	rebalanceAtMost = 5
)

// A rebalancer sends peers back to their ideal node when that is a sibling that
// is up again.
type rebalancer struct {
	// Set once.
	nodes         map[string]string // from nodes of the DERP map to entries
	linkedSince   func(entry string) (time.Time, bool)
	closeNotIdeal func(ideal string, quiet time.Duration, atMost int) int
	logger        *slog.Logger

	// Owned by run.
	turn int            // which node comes first
	sent map[string]int // conns closed and not yet logged, by node
}

func (r *rebalancer) run(ctx context.Context) {
	t := time.NewTicker(rebalanceTick)
	defer t.Stop()
	r.sent = make(map[string]int)
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			r.step(time.Now())
		}
	}
}

// step closes as many conns as one tick allows. The nodes take turns at being
// first.
func (r *rebalancer) step(now time.Time) {
	nodes := slices.Sorted(maps.Keys(r.nodes))
	left := rebalanceAtMost
	for i := range nodes {
		node := nodes[(r.turn+i)%len(nodes)]
		n := 0
		if since, ok := r.linkedSince(r.nodes[node]); ok && left > 0 && now.Sub(since) >= settled {
			n = r.closeNotIdeal(node, rebalanceQuiet, left)
		}
		left -= n
		r.note(node, n)
	}
	r.turn++
}

// note adds up what was closed, and logs it when a tick has closed nothing more.
func (r *rebalancer) note(node string, n int) {
	r.sent[node] += n
	if n == 0 && r.sent[node] > 0 {
		r.logger.Info("sent peers back to their ideal node", "node", node, "count", r.sent[node])
		delete(r.sent, node)
	}
}

// linkedSince returns since when the sibling of an entry has been linked. If the
// entry is a DNS name, it is the last of all that the name leads to, and there is
// none if one of them is not linked: any may be the node in question.
func (m *Mesh) linkedSince(entry string) (last time.Time, ok bool) {
	for _, s := range m.Siblings() {
		if s.Name != entry && s.From != entry || s.Status == Self || s.Status == Known {
			continue
		}
		if s.Status != Linked {
			return time.Time{}, false
		}
		if s.Since.After(last) {
			last = s.Since
		}
	}
	return last, !last.IsZero()
}
