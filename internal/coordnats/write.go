package coordnats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/retry"
)

const (
	writeWithin = 10 * time.Second       // if the context does not say less
	askAgain    = 100 * time.Millisecond // while a leader is being chosen
)

// Create writes to a key at which nothing stands. What is left of a delete has to be
// known for that: it is asked for where the write is refused at first.
func (s *Store) Create(ctx context.Context, bucket, key string, value []byte) (uint64, error) {
	if err := coordstore.Check(bucket, key, value); err != nil {
		return 0, err
	}
	m := &nats.Msg{Subject: subjectOf(bucket, key), Data: value}
	revision, err := s.publish(ctx, m, 0)
	if !errors.Is(err, coordstore.ErrConflict) {
		return revision, err
	}
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	there, err := s.standing(asking, bucket, key)
	switch {
	case err != nil:
		return 0, s.unavailable(err)
	case there == nil: // its end has come meanwhile
		return s.publish(ctx, m, 0)
	case !isDelete(there.Header, there.Data):
		return 0, coordstore.ErrConflict
	}
	return s.publish(ctx, m, there.Sequence)
}

func (s *Store) Update(ctx context.Context, bucket, key string, value []byte, expected uint64) (uint64, error) {
	if err := coordstore.Check(bucket, key, value); err != nil {
		return 0, err
	}
	if expected == 0 {
		return 0, coordstore.ErrConflict
	}
	return s.publish(ctx, &nats.Msg{Subject: subjectOf(bucket, key), Data: value}, expected)
}

func (s *Store) Delete(ctx context.Context, bucket, key string, expected uint64) (uint64, error) {
	if err := coordstore.CheckKey(bucket, key); err != nil {
		return 0, err
	}
	if expected == 0 {
		return 0, coordstore.ErrConflict
	}
	marker := &nats.Msg{Subject: subjectOf(bucket, key), Header: nats.Header{markerHeader: {"DEL"}}}
	return s.publish(ctx, marker, expected, jetstream.WithMsgTTL(coordstore.DeletesKept))
}

// publish writes if the key has the expected revision. It is tried again only as long
// as nobody was there to take it: what was sent to somebody may have been made.
func (s *Store) publish(ctx context.Context, m *nats.Msg, expected uint64, options ...jetstream.PublishOpt) (uint64, error) {
	if s.ctx.Err() != nil {
		return 0, s.unavailable(errClosed)
	}
	if stuck := s.stuck(); stuck != nil && s.alone() {
		return 0, s.unavailable(stuck) // it would not answer
	}
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	options = append(options, jetstream.WithExpectLastSequencePerSubject(expected), jetstream.WithRetryAttempts(0))
	for {
		ack, err := s.writer.PublishMsg(ctx, m, options...)
		switch {
		case err == nil:
			s.health.set(nil)
			return ack.Sequence, nil
		case isCode(err, int(jetstream.JSErrCodeStreamWrongLastSequence), int(jetstream.JSErrCodeStreamWrongLastSequenceConstant)):
			return 0, coordstore.ErrConflict
		case errors.Is(err, nats.ErrMaxPayload):
			return 0, fmt.Errorf("%d bytes for %s are more than the NATS servers take: let them have max_payload: 5MB", len(m.Data), m.Subject)
		case !errors.Is(err, jetstream.ErrNoStreamResponse) || !retry.Rest(ctx, askAgain, s.ctx.Done()):
			return 0, s.failed(ctx, err)
		}
	}
}

// failed is for a write that was not acknowledged.
func (s *Store) failed(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return s.unavailable(err) // its caller's, not the engine's
	}
	s.health.set(err)
	return s.unavailable(err)
}

func (s *Store) unavailable(err error) error {
	return fmt.Errorf("%w: %w", coordstore.ErrUnavailable, err)
}
