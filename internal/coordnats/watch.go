package coordnats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/retry"
)

const (
	heartbeat   = 300 * time.Millisecond
	silence     = 5 * heartbeat    // so long there is nothing, not even a heartbeat: the consumer is gone
	compareEach = 30               // heartbeats in a row
	loadAtOnce  = 2                // buckets: the engine sends ahead what a watcher has not taken yet, tens of MB for each
	resumeIn    = 10 * time.Second // otherwise the bucket is loaded again
	resumeEach  = 200 * time.Millisecond
	forgotten   = 30 * time.Second // after which the engine removes a consumer that nobody listens to
)

// The engine paces itself by what we have taken, but in bytes: it sends up to 32 MiB ahead,
// of which a message takes some 125 at least. What does not fit is thrown away, and the
// consumer is lost. No more comes ahead than a bucket has, and what is written meanwhile.
const (
	leastAhead = 16 << 10 // messages
	mostAhead  = 256 << 10
)

// A view is one watching of a bucket: a consumer, and what has come from it.
type view struct {
	s        *Store
	bucket   string
	w        coordstore.Watcher
	sub      *nats.Subscription
	in       chan *nats.Msg // what has come, and is not taken yet
	end      uint64         // the last revision when the watching began
	loading  bool           // until all of that has been told
	told     uint64         // revision
	count    uint64         // messages, as the consumer counts them
	beats    int            // heartbeats since a message
	doubtful uint64         // revision that the leader had and we did not
}

func (s *Store) Watch(ctx context.Context, bucket string, w coordstore.Watcher) error {
	if err := coordstore.CheckBucket(bucket); err != nil {
		return err
	}
	ctx, cancel := s.untilBreak(ctx)
	defer cancel()
	v := &view{s: s, bucket: bucket, w: w}
	err := v.run(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (v *view) run(ctx context.Context) error {
	select {
	case v.s.loading <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	v.loading = true
	defer v.loaded()
	epoch, err := v.open(ctx)
	if err != nil {
		return err
	}
	v.w.Begin(epoch)
	if v.end == 0 {
		v.current()
	}
	for {
		err := v.listen(ctx)
		if v.loading || ctx.Err() != nil || !errors.Is(err, errLost) {
			return err
		}
		v.s.config.Logger.Debug("a consumer is gone, another goes on from there", "bucket", v.bucket, "err", err)
		if err := v.resume(ctx, epoch); err != nil {
			return err
		}
	}
}

// errLost is beneath what befalls a consumer and not the bucket: it is at one server,
// and ends with it.
var errLost = errors.New("the consumer is lost")

// resume makes another consumer that goes on after what has been told, if the history
// is the same and has that. The leader is being chosen anew, perhaps.
func (v *view) resume(ctx context.Context, epoch string) error {
	ctx, cancel := context.WithTimeout(ctx, resumeIn)
	defer cancel()
	for {
		now, err := v.open(ctx)
		switch {
		case err == nil && now == epoch && v.end >= v.told:
			return nil
		case err == nil:
			v.sub.Unsubscribe()
			return errors.New("the bucket has been made anew")
		case errors.Is(err, jetstream.ErrStreamNotFound) || !retry.Rest(ctx, resumeEach, nil):
			return err
		}
	}
}

// listen takes what comes until that ends.
func (v *view) listen(ctx context.Context) error {
	defer v.sub.Unsubscribe()
	silent := time.NewTimer(silence)
	defer silent.Stop()
	for {
		select {
		case m := <-v.in:
			if err := v.take(ctx, m); err != nil {
				return err
			}
			silent.Reset(silence)
		case <-silent.C:
			return fmt.Errorf("%w: it is silent", errLost)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// open makes the consumer, and makes sure that the stream is the same before and
// after.
func (v *view) open(ctx context.Context) (epoch string, err error) {
	before, err := v.s.ask(ctx, v.bucket)
	if err != nil {
		return "", err
	}
	inbox := v.s.conns.watch.NewInbox()
	v.in = make(chan *nats.Msg, min(leastAhead+before.State.Msgs, mostAhead))
	if v.sub, err = v.s.conns.watch.ChanSubscribe(inbox, v.in); err != nil {
		return "", err
	}
	after, err := v.consume(ctx, inbox)
	if err == nil && !after.Created.Equal(before.Created) {
		err = errors.New("the bucket has been made anew")
	}
	if err != nil {
		v.sub.Unsubscribe()
		return "", err
	}
	v.end, v.count, v.beats, v.doubtful = before.State.LastSeq, 0, 0, 0
	return v.s.epoch(before), nil
}

// epoch tells one history of a bucket from another. One that is not synced may have
// lost its end with the process, and goes on with revisions that others know already.
func (s *Store) epoch(info *jetstream.StreamInfo) string {
	epoch := strconv.FormatInt(info.Created.UnixNano(), 36)
	if info.Config.PersistMode == jetstream.AsyncPersistMode {
		epoch += "." + strconv.FormatInt(s.ends.Load(), 10)
	}
	return epoch
}

func (v *view) consume(ctx context.Context, inbox string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, err := v.s.reader.CreatePushConsumer(ctx, streamOf(v.bucket), jetstream.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: v.told + 1, AckPolicy: jetstream.AckNonePolicy,
		FlowControl: true, IdleHeartbeat: heartbeat, InactiveThreshold: forgotten, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("a consumer: %w", err)
	}
	return v.s.ask(ctx, v.bucket)
}

func (v *view) current() {
	v.loaded()
	v.w.Current()
}

// loaded lets another bucket load.
func (v *view) loaded() {
	if v.loading {
		v.loading = false
		<-v.s.loading
	}
}

// take is for each thing that comes from the consumer.
func (v *view) take(ctx context.Context, m *nats.Msg) error {
	if len(m.Data) == 0 && m.Header.Get("Status") != "" {
		return v.takeStatus(ctx, m)
	}
	meta, err := positionOf(m)
	if err != nil {
		return err
	}
	if v.count++; meta.consumer != v.count {
		return fmt.Errorf("%w: its message %d came after %d", errLost, meta.consumer, v.count-1)
	}
	if meta.stream <= v.told {
		return fmt.Errorf("revision %d came after %d", meta.stream, v.told)
	}
	if v.loading && meta.stream > v.end {
		v.current()
	}
	e := coordstore.Entry{Key: keyOf(v.bucket, m.Subject), Revision: meta.stream, Behind: meta.pending}
	if !isDelete(m.Header, m.Data) {
		e.Value = m.Data
	}
	v.told, v.beats = meta.stream, 0
	v.w.Entry(e)
	switch {
	case v.loading && meta.stream >= v.end:
		v.current()
	case v.loading && meta.pending == 0 && len(v.in) == 0 && v.told >= v.doubtful:
		return v.compare(ctx) // what stood at the end is gone, or the consumer's server lags
	}
	return nil
}

// takeStatus answers what paces the engine, and looks at each heartbeat whether
// something should have come.
func (v *view) takeStatus(ctx context.Context, m *nats.Msg) error {
	switch m.Header.Get("Status") {
	case "100":
	case "503":
		return fmt.Errorf("%w: nobody serves it", errLost)
	default:
		return fmt.Errorf("%w: %s", errLost, m.Header.Get("Description"))
	}
	if m.Reply != "" {
		return v.s.conns.watch.Publish(m.Reply, nil)
	}
	if stalled := m.Header.Get("Nats-Consumer-Stalled"); stalled != "" {
		if err := v.s.conns.watch.Publish(stalled, nil); err != nil {
			return err
		}
	}
	if sent, err := strconv.ParseUint(m.Header.Get("Nats-Last-Consumer"), 10, 64); err == nil && sent != v.count {
		return fmt.Errorf("%w: it has sent %d messages, %d came", errLost, sent, v.count)
	}
	if v.beats++; v.loading || v.beats%compareEach == 0 {
		return v.compare(ctx)
	}
	return nil
}

// compare asks the leader whether there is something after what we have been told: a
// consumer is at one of the replicas, which may not hear of anything. While loading
// it finds that what was to come has been removed meanwhile.
func (v *view) compare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	next, err := v.s.following(ctx, v.bucket, v.told)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return err
	case err != nil:
		return nil // the leader cannot be asked: others say so
	case next == nil && v.loading:
		v.current()
	case next == nil:
	case v.doubtful > v.told && !v.loading:
		return fmt.Errorf("the leader has revision %d, the consumer sends nothing after %d", next.Sequence, v.told)
	default:
		v.doubtful = next.Sequence
	}
	return nil
}
