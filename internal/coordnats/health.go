package coordnats

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/retry"
)

const mindEach = 2 * time.Second

// health is what is known of the engine without asking it.
type health struct {
	mu        sync.Mutex
	err       error // why it cannot be written to
	since     time.Time
	replicas  []coordstore.ReplicaState
	consumers map[string]int // by bucket
}

// set notes how a write, or a look at the engine, went.
func (h *health) set(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if errors.Is(h.err, errClosed) {
		return
	}
	if err != nil && h.err == nil {
		h.since = time.Now()
	}
	h.err = err
}

func (h *health) note(bucket string, info *jetstream.StreamInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.consumers == nil {
		h.consumers = map[string]int{}
	}
	h.consumers[bucket] = info.State.Consumers
	if bucket == coordstore.Hard {
		h.replicas = replicasOf(info.Cluster)
	}
}

func replicasOf(c *jetstream.ClusterInfo) (all []coordstore.ReplicaState) {
	if c == nil || c.Leader == "" {
		return nil
	}
	all = append(all, coordstore.ReplicaState{Name: c.Leader, Leader: true, Current: true})
	for _, r := range c.Replicas {
		all = append(all, coordstore.ReplicaState{Name: r.Name, Current: r.Current && !r.Offline, Lag: r.Lag})
	}
	return all
}

func (s *Store) State() coordstore.State {
	h := &s.health
	h.mu.Lock()
	defer h.mu.Unlock()
	state := coordstore.State{Engine: s.engineName(), Writable: true, Replicas: h.replicas}
	for _, n := range h.consumers {
		state.Watchers += n
	}
	if h.err != nil {
		state.Writable, state.Reason, state.Since = false, h.err.Error(), h.since
	}
	if stuck := s.stuck(); stuck != nil && s.alone() {
		state.Writable, state.Reason, state.Since = false, stuck.Error(), stuck.since
	}
	return state
}

func (s *Store) engineName() string {
	switch {
	case s.engine == nil:
		return "nats"
	case s.config.Cluster == nil:
		return "embedded nats " + server.VERSION
	}
	return "embedded nats " + server.VERSION + ", " + strconv.Itoa(len(s.config.Cluster.Routes)) + " coordinators"
}

// mind looks at the engine now and then: at the hard bucket each time, at the others
// in turn.
func (s *Store) mind() {
	for turn := 0; retry.Rest(s.ctx, retry.Jitter(mindEach), nil); turn++ {
		s.revive()
		s.look(coordstore.Hard)
		s.look(coordstore.Soft(turn % coordstore.SoftBuckets))
	}
}

// look asks for the state of a bucket, and makes it anew if somebody has removed it.
func (s *Store) look(bucket string) {
	ctx, cancel := context.WithTimeout(s.ctx, askWithin)
	defer cancel()
	info, err := s.ask(ctx, bucket)
	if lost := s.errLostBucket(err, bucket); lost != nil {
		err = lost
	} else if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.config.Logger.Error("a bucket is gone, it is made anew and empty", "bucket", bucket)
		err = s.makeBucket(ctx, bucket)
	}
	if err == nil && info != nil {
		s.health.note(bucket, info)
		err = leaderless(info.Cluster)
	}
	if s.ctx.Err() == nil && (err != nil || bucket == coordstore.Hard) {
		s.health.set(err)
	}
}

// leaderless says so if nobody leads a bucket.
func leaderless(c *jetstream.ClusterInfo) error {
	if c != nil && c.Leader == "" {
		return errors.New("the bucket has no leader")
	}
	return nil
}
