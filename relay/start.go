package relay

import (
	"context"
	"math"
	"time"
)

// A sharedStream is a Stream with what may be there besides. Who reads it reads others,
// too, and is told what to do when its reading ends: its conn needs no goroutine.
type sharedStream interface {
	Stream
	Reader() int
	StartBursts(handle func(burst []byte) (used int, err error), ended func(error))
	AfterRound(f interface{ RoundEnded(reader int) })
}

// Start is Serve for who does not wait for its end: done is called once, with what Serve
// would have returned. Start returns when the peer has logged in, or has not; only a
// stream that has no Reader is served before it returns.
func (s *Server) Start(ctx context.Context, stream Stream, from Origin, done func(error)) {
	shared, ok := stream.(sharedStream)
	if !ok || shared.Reader() == 0 {
		done(s.Serve(ctx, stream, from))
		return
	}
	if ctx.Done() != nil {
		stop, whenStopped := context.AfterFunc(ctx, func() { stream.Close() }), done
		done = func(err error) { stop(); whenStopped(err) }
	}
	c, err := s.logIn(ctx, stream, &from)
	if err != nil {
		stream.Close()
		done(err)
		return
	}
	started := &started{conn: c, stream: shared, done: done}
	started.handle, started.ended = started.ingest, started.readingEnded // made once
	started.read()
}

// A started conn is one without a goroutine.
type started struct {
	// Set once.
	conn   *conn
	stream sharedStream
	handle func([]byte) (int, error)
	ended  func(error)
	done   func(error)

	// Of who reads, or looks after the rest.
	rest rest
	wake *time.Timer // when to look after it; nil: there never was one
}

func (s *started) ingest(p []byte) (used int, err error) { return s.conn.ingestIn(s.stream, p) }

func (s *started) read() { s.stream.StartBursts(s.handle, s.ended) }

// readingEnded is called by who reads. The end of a conn takes locks, for which he does
// not wait.
func (s *started) readingEnded(err error) {
	if err != errRest {
		s.conn.server.leaving.Do(func() { s.leave(err) })
		return
	}
	var look time.Duration
	s.rest, look = s.conn.beginRest()
	s.restFor(look)
}

func (s *started) restFor(d time.Duration) {
	if d <= 0 {
		s.read()
		return
	}
	if s.wake == nil { // it is set before it goes off
		s.wake = time.AfterFunc(math.MaxInt64, func() { s.restFor(s.conn.restsOn(&s.rest)) })
	}
	s.wake.Reset(d)
}

func (s *started) leave(err error) {
	c := s.conn
	err = c.leave(err)
	c.server.ended(c.addr, c.key, err)
	s.stream.Close()
	s.done(err)
}
