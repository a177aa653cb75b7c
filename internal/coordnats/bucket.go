package coordnats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/retry"
)

const (
	// streamPrefix makes a stream a key-value bucket of NATS's tools.
	streamPrefix  = "KV_detour-"
	subjectPrefix = "$KV.detour-"

	askWithin = 5 * time.Second // an answer of the engine

	// What the engine's API answers with, and its client has no name for.
	codeNoPeers           = 10005 // fewer servers than replicas
	codeNoReplicas        = 10074 // a server alone
	codeInsufficient      = 10023
	codeReplicasImmutable = 10052
)

func streamOf(bucket string) string       { return streamPrefix + bucket }
func subjectOf(bucket, key string) string { return subjectPrefix + bucket + "." + key }
func keyOf(bucket, subject string) string { return strings.TrimPrefix(subject, subjectOf(bucket, "")) }
func isCode(err error, codes ...int) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, code := range codes {
		if int(api.ErrorCode) == code {
			return true
		}
	}
	return false
}

// stream is how a bucket is kept.
func (s *Store) stream(bucket string, replicas int) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: streamOf(bucket), Subjects: []string{subjectOf(bucket, ">")}, Description: "detour: do not write here",
		MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: -1, MaxConsumers: -1, Discard: jetstream.DiscardNew,
		MaxMsgSize: int32(coordstore.MaxValue(bucket)) + 4<<10,
		Storage:    jetstream.FileStorage, Replicas: replicas, Duplicates: time.Second,
		DenyDelete: true, AllowRollup: true, AllowMsgTTL: true,
		// Reads go to the leader, never to a replica that has not heard yet.
		AllowDirect: false,
	}
	if bucket != coordstore.Hard && replicas == 1 && s.engine != nil { // a lone disk syncs a thousand times a second
		c.PersistMode = jetstream.AsyncPersistMode
	}
	return c
}

// replicas are how many to try for a new bucket.
func (s *Store) replicas() int {
	switch {
	case s.config.Cluster != nil:
		return 3
	case s.engine != nil:
		return 1
	case s.config.Replicas != 0:
		return s.config.Replicas
	}
	return 3
}

// makeBuckets makes sure that all buckets are there, and waits for a quorum with it.
func (s *Store) makeBuckets(ctx context.Context) error {
	for _, bucket := range coordstore.Buckets() {
		if err := s.awaitBucket(ctx, bucket); err != nil {
			return fmt.Errorf("%s: %w", bucket, err)
		}
	}
	return nil
}

func (s *Store) awaitBucket(ctx context.Context, bucket string) error {
	last := ""
	for {
		err := s.makeBucket(ctx, bucket)
		if err == nil || !passes(err) {
			return err
		}
		if waits := s.waitsFor(err); waits != last {
			s.config.Logger.Info("the engine is not ready yet", "bucket", bucket, "waits", waits)
			last = waits
		}
		if !retry.Rest(ctx, 250*time.Millisecond, nil) {
			return fmt.Errorf("%w: %s", ctx.Err(), last)
		}
	}
}

// passes reports whether a failure may pass by itself: all that a server answers and
// that is not about a lack of servers stays.
func passes(err error) bool {
	var api *jetstream.APIError
	if lost := (damaged{}); errors.As(err, &lost) {
		return false
	}
	return !errors.As(err, &api) || api.Code >= 500 || isCode(err, codeNoPeers)
}

// waitsFor says in the words of who runs the coordinators what is missing.
func (s *Store) waitsFor(err error) string {
	if s.engine != nil && s.config.Cluster != nil {
		if missing := s.engine.missing(s.config.Cluster); len(missing) > 0 {
			text := "it waits for " + strings.Join(missing, " and ")
			if s.engine.meetsForeign() {
				text += "; one with another cluster secret was met: all need the same"
			}
			return text
		}
		return "the coordinators choose a leader"
	}
	return err.Error()
}

func (s *Store) makeBucket(ctx context.Context, bucket string) error {
	info, err := s.ask(ctx, bucket)
	if err == nil {
		return s.adapt(ctx, bucket, info)
	}
	if lost := s.errLostBucket(err, bucket); lost != nil {
		return damaged{lost}
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	_, err = s.writer.CreateStream(ctx, s.stream(bucket, s.replicas()))
	if s.mayBeFewer(err) {
		_, err = s.writer.CreateStream(ctx, s.stream(bucket, 1))
	}
	return err
}

// mayBeFewer reports whether a failure is that there are not as many servers as we
// would like.
func (s *Store) mayBeFewer(err error) bool {
	return s.engine == nil && s.config.Replicas == 0 && isCode(err, codeNoPeers, codeNoReplicas, codeInsufficient)
}

// adapt changes a bucket that was made by another version, or for fewer servers. It
// is not a failure if that cannot be: what is there works.
func (s *Store) adapt(ctx context.Context, bucket string, info *jetstream.StreamInfo) error {
	want := s.stream(bucket, s.replicas())
	was := info.Config
	switch {
	case was.MaxMsgsPerSubject != 1 || !was.AllowMsgTTL || was.Storage != jetstream.FileStorage:
		return fmt.Errorf("the stream %s is not one of ours: name another account, or remove it", was.Name)
	case was.Replicas >= want.Replicas:
		return nil
	}
	was.Replicas = want.Replicas
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if _, err := s.writer.UpdateStream(ctx, was); err != nil && !s.mayBeFewer(err) {
		s.config.Logger.Warn("a bucket has fewer replicas than it could have", "bucket", bucket, "replicas", info.Config.Replicas, "err", err)
	}
	return nil
}

// ask returns what the leader of a bucket says of it.
func (s *Store) ask(ctx context.Context, bucket string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	stream, err := s.writer.Stream(ctx, streamOf(bucket))
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// standing returns what the leader of a bucket has at a key, nil if nothing.
func (s *Store) standing(ctx context.Context, bucket, key string) (*jetstream.RawStreamMsg, error) {
	return s.get(ctx, bucket, func(stream jetstream.Stream) (*jetstream.RawStreamMsg, error) {
		return stream.GetLastMsgForSubject(ctx, subjectOf(bucket, key))
	})
}

// following returns what the leader of a bucket has next after a revision, nil if
// that was the last.
func (s *Store) following(ctx context.Context, bucket string, revision uint64) (*jetstream.RawStreamMsg, error) {
	return s.get(ctx, bucket, func(stream jetstream.Stream) (*jetstream.RawStreamMsg, error) {
		return stream.GetMsg(ctx, revision+1, jetstream.WithGetMsgSubject(subjectOf(bucket, ">")))
	})
}

func (s *Store) get(ctx context.Context, bucket string, read func(jetstream.Stream) (*jetstream.RawStreamMsg, error)) (*jetstream.RawStreamMsg, error) {
	stream, err := s.writer.Stream(ctx, streamOf(bucket))
	if err != nil {
		return nil, err
	}
	m, err := read(stream)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return m, err
}

const markerHeader = "KV-Operation"

// isDelete reports whether a message is a delete: ours, or one of NATS's tools.
func isDelete(header nats.Header, data []byte) bool {
	return len(data) == 0 || header.Get(markerHeader) != "" && header.Get(markerHeader) != "PUT"
}
