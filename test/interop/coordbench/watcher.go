package coordbench

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/key"
)

// watcher has a view of its tailnet, which changes whenever its stream says that all is told.
type watcher struct {
	m       *model
	i       int
	tailnet string
	key     key.Public

	mu   sync.Mutex
	view map[key.Public]uint64 // the number of each one's last report; 0: none is known
	next map[key.Public]uint64 // the view until all is told
}

// watch keeps to coordinators by turns, each time for a while, and to the end in one that does not end.
func (m *model) watch(ctx context.Context, w *watcher) {
	for ctx.Err() == nil {
		one, stop := ctx, context.CancelFunc(func() {})
		if !m.ending.Load() {
			one, stop = context.WithTimeout(ctx, 50*time.Millisecond+rand.N(6*time.Second))
		}
		m.watches.Add(1)
		m.crowd.Watch(one, w.i, rand.IntN(len(m.all)), w) // how it ends does not matter
		stop()
		pause(ctx, rand.N(time.Second))
	}
}

func (w *watcher) Event(_ int, e *coordapi.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.Type {
	case coordapi.EventSnapshot:
		w.m.anew.Add(1)
		w.next = map[key.Public]uint64{}
	case coordapi.EventResumed:
		w.next = maps.Clone(w.view)
	case coordapi.EventPeer:
		w.m.events.Add(1)
		if e.Peer != nil {
			w.peer(e.Peer.Key, numberOf(e.Peer.Disco))
		}
	case coordapi.EventGone:
		delete(w.next, e.Key)
	case coordapi.EventAt:
		w.view = maps.Clone(w.next)
	}
}

// peer notes the number of a report. A peer whose reports the engine has not, or not any more, is as it was known.
func (w *watcher) peer(k key.Public, n uint64) {
	known := max(w.view[k], w.next[k])
	switch {
	case n == 0:
		n = known
	case n < known:
		if w.m.disorder.Add(1) <= 20 {
			w.m.Talk("  OUT OF ORDER: watcher %d of %s is told of report %d of %v, and had %d\n    %s", w.i, w.tailnet, n, k.Short(), known, w.m.lately(k))
		}
	}
	w.next[k] = n
}

// different counts in which members a view is not as it should be.
func different(want, got map[key.Public]uint64) (n int) {
	for k, number := range want {
		if is, known := got[k]; !known || is != number {
			n++
		}
	}
	for k := range got {
		if _, wanted := want[k]; !wanted {
			n++
		}
	}
	return n
}

// settle counts what is lost once everything is quiet, has all report once more, and compares the views.
func (m *model) settle(ctx context.Context) error {
	views, err := m.views(ctx, 0)
	if err != nil {
		return err
	}
	for i, p := range m.peers {
		number, there := views[p.tailnet][p.key]
		switch {
		case p.unsure:
			m.found.Unsure++
		case there != p.member || number < p.taken:
			m.found.Lost++
			m.Talk("  LOST: peer %d of %s has report %d (a member: %v), and %d was taken (a member: %v)\n    %s", i, p.tailnet, number, there, p.taken, p.member, m.lately(p.key))
		}
	}
	for i, p := range m.peers {
		if _, there := views[p.tailnet][p.key]; there {
			if err := m.reportLast(ctx, i); err != nil {
				return err
			}
		}
	}
	return m.compare(ctx)
}

// reportLast reports until it is taken.
func (m *model) reportLast(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, modelSettle, fmt.Errorf("no coordinator takes the last report of peer %d", i))
	defer cancel()
	for !m.report(ctx, i, rand.IntN(len(m.all))) {
		if !pause(ctx, 20*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// compare waits until all coordinators and watchers have the same, or for so long, and counts where they do not.
func (m *model) compare(ctx context.Context) error {
	for end := time.Now().Add(modelSettle); ; {
		var all []map[string]map[key.Public]uint64
		for n := range m.all {
			views, err := m.views(ctx, n)
			if err != nil {
				return err
			}
			all = append(all, views)
		}
		m.found.Different = 0
		for net, want := range all[0] {
			m.found.Different += different(want, all[1][net]) + different(want, all[2][net])
		}
		for _, w := range m.watchers {
			m.found.Different += w.differs(all[0][w.tailnet])
		}
		if m.found.Different == 0 || time.Now().After(end) {
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// differs counts in which members the watcher's view differs; it does not see itself.
func (w *watcher) differs(want map[key.Public]uint64) int {
	want = maps.Clone(want)
	delete(want, w.key)
	w.mu.Lock()
	defer w.mu.Unlock()
	return different(want, w.view)
}

// views are the tailnets as a coordinator's operator sees them.
func (m *model) views(ctx context.Context, at int) (map[string]map[key.Public]uint64, error) {
	all := map[string]map[key.Public]uint64{}
	for n := range modelNets {
		net := fmt.Sprintf("net%d", n)
		members, err := m.all[at].members(ctx, net)
		if err != nil {
			return nil, err
		}
		all[net] = map[key.Public]uint64{}
		for _, one := range members {
			all[net][one.Key] = numberOf(one.Disco)
		}
	}
	return all, nil
}
