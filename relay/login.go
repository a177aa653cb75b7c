package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/firstframe"
	"github.com/detour-relay/detour/internal/waiter"
	"github.com/detour-relay/detour/key"
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

const loginTimeout = 10 * time.Second

type login struct {
	server   *Server
	stream   Stream
	from     *Origin
	timedOut atomic.Bool

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
	c, box, info, err := l.identify()
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
		c.begin(c.answer(&box))
		return c, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.AdmitTimeout, ErrAdmitTimeout)
	defer cancel()
	l.waiting = waiter.New(ctx, cancel)
	defer time.AfterFunc(watchAfter, l.watchNow).Stop()
	defer context.AfterFunc(ctx, l.watchNow)() // runs before cancel
	admission, err := l.admit(ctx, Applicant{Peer: c.key, Addr: c.addr, Info: info})
	if err != nil {
		l.waiting.Refuse(l.stream.Close)
		return nil, err
	}
	if !l.waiting.Admit(func(early []byte) (used int) {
		c.admitted(&admission)
		c.begin(c.answer(&box))
		return c.relayEarly(early)
	}) {
		return nil, waiter.ErrOver
	}
	return c, nil
}

// identify exchanges greeting and answer within their times. The conn is not
// registered yet.
func (l *login) identify() (c *conn, box key.Box, info derp.ClientInfo, err error) {
	expire := time.AfterFunc(loginTimeout, func() {
		l.timedOut.Store(true)
		l.stream.Close()
	})
	defer expire.Stop()
	if err = l.greet(); err == nil {
		expire.Reset(loginTimeout)
		c, box, info, err = l.readAnswer()
	}
	if err != nil && l.timedOut.Load() {
		err = ErrLoginTimeout
	}
	return c, box, info, err
}

func (l *login) greet() error {
	_, err := l.stream.Write(derp.AppendServerKey(nil, l.server.public))
	for done := false; err == nil && !done; {
		done, err = l.stream.Flush(true)
	}
	return asWriteError(err)
}

func (l *login) readAnswer() (c *conn, box key.Box, info derp.ClientInfo, err error) {
	answer := firstframe.Frame{Want: derp.FrameClientInfo, Min: derp.MinClientInfo, Max: derp.MaxClientInfo, Large: &l.server.largeLogins}
	payload, err := answer.From(l.stream)
	answer.Release()
	if err != nil {
		return nil, box, info, asBadLogin(err)
	}
	peer, sealed, err := derp.ParseClientInfo(payload)
	if err == nil {
		box = l.server.cfg.Key.Box(peer)
		info, err = derp.OpenClientInfo(sealed, &box)
	}
	if err != nil {
		return nil, box, info, fmt.Errorf("%w: %w", ErrBadLogin, err)
	}
	c = newConn(l.server, l.stream, l.from, peer, info)
	l.server.noteMeshKey(c, info)
	return c, box, info, nil
}

// asBadLogin marks a first frame that is none as a malformed login.
func asBadLogin(err error) error {
	if errors.Is(err, firstframe.ErrUnexpected) {
		return fmt.Errorf("%w: %w", ErrBadLogin, err)
	}
	return err
}
