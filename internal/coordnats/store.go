package coordnats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Store is a coordstore.Store whose buckets are in NATS JetStream.
type Store struct {
	config Config
	engine *embedded    // nil: others run it
	ends   atomic.Int64 // of our engine, without saying so
	conns  dialled
	writer jetstream.JetStream
	reader jetstream.JetStream // over the connection of the watchers

	ctx     context.Context // ends with Close
	end     context.CancelFunc
	minding sync.WaitGroup
	revived time.Time // owned by mind: when that was last tried
	closing sync.Once
	closed  error

	loading chan struct{} // has one for each watching that may load

	mu       sync.Mutex
	watching context.Context         // guarded by mu; ends when the watches break
	broke    context.CancelCauseFunc // guarded by mu; of watching
	health   health
}

// Open starts the engine, if it is ours, connects to it, and makes the buckets that
// there are not yet. Of a cluster it waits until a majority is there, or ctx ends.
func Open(ctx context.Context, c Config) (*Store, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := newStore(c)
	urls, options, err := s.start(ctx)
	if err == nil {
		err = s.open(ctx, urls, options)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newStore(c Config) *Store {
	s := &Store{config: c, loading: make(chan struct{}, loadAtOnce)}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.watching, s.broke = context.WithCancelCause(s.ctx)
	return s
}

func (s *Store) open(ctx context.Context, urls string, options []nats.Option) (err error) {
	if err := s.connect(urls, options); err != nil {
		return err
	}
	if s.writer, err = jetstream.New(s.conns.write); err != nil {
		return err
	}
	if got := s.conns.write.MaxPayload(); got < maxPayload {
		s.config.Logger.Warn("the NATS servers take smaller messages than a large map needs: let them have max_payload: 5MB", "bytes", got)
	}
	if s.reader, err = jetstream.New(s.conns.watch); err != nil {
		return err
	}
	if err := s.makeBuckets(ctx); err != nil {
		return fmt.Errorf("the buckets of the engine: %w", err)
	}
	s.health.set(nil)
	if s.engine != nil {
		if err := s.engine.dir.use(); err != nil {
			return err
		}
	}
	s.minding.Go(s.mind)
	return nil
}

// start starts the engine, if it is ours, and returns how to connect to it.
func (s *Store) start(ctx context.Context) (urls string, options []nats.Option, err error) {
	if s.config.Dir != "" {
		if s.engine, err = startEmbedded(ctx, s.config); err != nil {
			return "", nil, err
		}
		s.ends.Store(int64(s.engine.dir.ends))
		urls, options = s.engine.dial()
		return urls, options, nil
	}
	if s.config.CredentialsFile != "" {
		options = append(options, nats.UserCredentials(s.config.CredentialsFile))
	}
	if s.config.Token != "" {
		options = append(options, nats.Token(s.config.Token))
	}
	if s.config.TLS != nil {
		options = append(options, nats.Secure(s.config.TLS))
	}
	return strings.Join(s.config.URLs, ","), options, nil
}

// Close breaks what is watched and ends the engine, if it is ours.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.end()
		s.health.set(errClosed)
		s.minding.Wait()
		s.conns.close()
		if s.engine != nil {
			s.closed = s.engine.stop(s.config.Cluster == nil)
		}
	})
	return s.closed
}

var errClosed = errors.New("the store is closed")

// untilBreak returns a context that ends when the watches break, too, and why.
func (s *Store) untilBreak(ctx context.Context) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	watching := s.watching
	s.mu.Unlock()
	joined, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(watching, func() { cancel(context.Cause(watching)) })
	return joined, func() { stop(); cancel(nil) }
}

func (s *Store) breakWatches(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broke(why)
	s.watching, s.broke = context.WithCancelCause(s.ctx)
}
