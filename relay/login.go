package relay

import (
	"context"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/greeting"
	"github.com/detour-relay/detour/internal/waiter"
)

// A login goes through four phases, each within its time:
//
//  1. The greeting is written (10 s, spec 4).
//  2. The answer arrives and its box opens, which proves the peer's key (10 s).
//  3. Config.Admit decides (Config.AdmitTimeout).
//  4. The conn is registered and the answer goes out, in front of everything else.
//
// It works on a goroutine of its own: cryptography needs a deep stack, which the
// goroutine that stays with the conn would keep. That one meanwhile watches the
// peer, if Admit takes its time (waiting.go).

type login struct {
	server *Server
	stream Stream
	from   *Origin

	watch    chan struct{}  // closed when Admit takes its time, or the login is over
	watchNow func()         // closes watch; set once
	waiting  *waiter.Waiter // set before watch is closed; nil: nobody is asked

	done chan struct{} // closed when the login is over
	conn *conn         // set before done is closed; nil: the login failed
	err  error         // and why
}

// accept returns the conn of a peer that has logged in.
func (s *Server) accept(ctx context.Context, stream Stream, from *Origin) (*conn, error) {
	s.count.accepts.Add(1)
	l := &login{server: s, stream: stream, from: from, watch: make(chan struct{}), done: make(chan struct{})}
	l.watchNow = sync.OnceFunc(func() { close(l.watch) })
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		defer l.watchNow()
		defer close(l.done)
		defer s.entered(stream)
		l.conn, l.err = l.run(ctx)
	}()
	// The stack of this goroutine must not grow by the waiting, which is over at once for
	// most: so it waits for one thing here.
	<-l.watch
	select {
	case <-l.done:
		return l.conn, l.err
	default:
		return l.wait()
	}
}

func (l *login) run(ctx context.Context) (*conn, error) {
	begun := time.Now()
	c, client, err := l.identify()
	if err != nil {
		return nil, err
	}
	l.server.count.loginTime.Add(int64(time.Since(begun)), 1)
	if l.from.LoggedIn != nil {
		l.from.LoggedIn()
	}
	s := l.server
	if s.cfg.Admit == nil || c.sibling {
		c.admitted(&Admission{})
		c.begin(c.answer(&client.Box))
		return c, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.AdmitTimeout, ErrAdmitTimeout)
	defer cancel()
	l.waiting = waiter.New(ctx, cancel)
	defer time.AfterFunc(watchAfter, l.watchNow).Stop()
	defer context.AfterFunc(ctx, l.watchNow)() // runs before cancel
	admission, err := l.admit(ctx, Applicant{Peer: c.key, Addr: c.addr, Info: client.Info})
	if err != nil {
		l.waiting.Refuse(l.stream.Close)
		return nil, err
	}
	if !l.waiting.Admit(func(early []byte) (used int) {
		c.admitted(&admission)
		c.begin(c.answer(&client.Box))
		return c.relayEarly(early)
	}) {
		return nil, waiter.ErrOver
	}
	return c, nil
}

// identify exchanges greeting and answer within their times. The conn is not
// registered yet.
func (l *login) identify() (c *conn, client greeting.Client, err error) {
	s, deadline := l.server, greeting.NewDeadline(l.stream)
	if err = asWriteError(greeting.SendServer(l.stream, s.public)); err == nil {
		deadline.Renew()
		client, err = greeting.ReadClient(l.stream, s.cfg.Key, &s.largeLogins)
	}
	if err = deadline.Stop(err); err != nil {
		return nil, client, err
	}
	c = newConn(s, l.stream, l.from, client.Key, client.Info)
	s.noteMeshKey(c, client.Info)
	return c, client, nil
}
