package relaytest

import (
	"flag"
	"time"

	"github.com/detour-relay/detour/relay"
)

// With -started, conns have no goroutine of their own, as those that event loops read;
// without, each is served on one.
var starts = flag.Bool("started", false, "have conns be started, as those that event loops read, instead of served")

// serve returns when the stream has ended.
func (r *Relay) serve(stream relay.Stream, from relay.Origin) error {
	if !*starts {
		return r.Serve(r.ctx, stream, from)
	}
	done := make(chan error, 1)
	r.Start(r.ctx, &started{Stream: stream}, from, func(err error) {
		done <- err
		close(done) // a second time would panic
	})
	return <-done
}

// started is a stream as of an event loop, which has nobody wait for its reading.
type started struct {
	relay.Stream
	after []roundEnder // owned by the reader
}

type roundEnder = interface{ RoundEnded(reader int) }

func (s *started) Reader() int { return 1 }

func (s *started) StartBursts(handle func([]byte) (int, error), ended func(error)) {
	go func() {
		ended(s.ReadBursts(func(burst []byte) (int, error) {
			defer s.endRound()
			return handle(burst)
		}))
	}()
}

func (s *started) AfterRound(f roundEnder) { s.after = append(s.after, f) }

func (s *started) endRound() {
	for _, f := range s.after {
		f.RoundEnded(s.Reader())
	}
	s.after = nil
}

func (s *started) LimitBursts(n int) {
	if under, ok := s.Stream.(interface{ LimitBursts(int) }); ok {
		under.LimitBursts(n)
	}
}

func (s *started) Begun() int {
	if under, ok := s.Stream.(interface{ Begun() int }); ok {
		return under.Begun()
	}
	return 0
}

func (s *started) RoundTrip() time.Duration {
	if under, ok := s.Stream.(interface{ RoundTrip() time.Duration }); ok {
		return under.RoundTrip()
	}
	return 0
}
