package relay

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// loginTimeout bounds the writing of the greeting, and then once more the
// arrival of the answer (spec 4).
const loginTimeout = 10 * time.Second

// accept greets the peer, reads who it is, asks whether it may come in and
// registers its conn.
//
// It works on a goroutine of its own: cryptography needs a deep stack, which the
// goroutine that stays with the conn would keep.
func (s *Server) accept(ctx context.Context, stream Stream, from *Origin) (c *conn, err error) {
	s.count.accepts.Add(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.entered(stream)
		l := login{server: s, stream: stream, from: from}
		var greeting []byte
		if c, greeting, err = l.run(ctx); err == nil {
			c.begin(greeting)
		}
	}()
	<-done
	return c, err
}

type login struct {
	server   *Server
	stream   Stream
	from     *Origin
	timedOut atomic.Bool
}

func (l *login) run(ctx context.Context) (*conn, []byte, error) {
	peer, info, box, err := l.identify()
	if err != nil {
		if l.timedOut.Load() {
			err = ErrLoginTimeout
		}
		return nil, nil, err
	}
	c := newConn(l.server, l.stream, l.from, peer, info)
	l.server.noteMeshKey(c, info)
	if admit := l.server.cfg.Admit; admit != nil && !c.sibling {
		if err := admit(ctx, Applicant{Peer: peer, Addr: l.from.Addr, Info: info}); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrNotAdmitted, err)
		}
	}
	return c, derp.AppendServerInfo(nil, &box, derp.ServerInfo{Version: derp.ProtocolVersion}), nil
}

// identify exchanges greeting and answer within their times.
func (l *login) identify() (peer key.Public, info derp.ClientInfo, box key.Box, err error) {
	expire := time.AfterFunc(loginTimeout, func() {
		l.timedOut.Store(true)
		l.stream.Close()
	})
	defer expire.Stop()
	if err := l.greet(); err != nil {
		return peer, info, box, err
	}
	expire.Reset(loginTimeout)
	answer := oneFrame{want: derp.FrameClientInfo, min: derp.MinClientInfo, max: derp.MaxClientInfo}
	payload, err := answer.from(l.stream)
	if err != nil {
		return peer, info, box, err
	}
	return l.open(payload)
}

func (l *login) greet() error {
	_, err := l.stream.Write(derp.AppendServerKey(nil, l.server.public))
	for done := false; err == nil && !done; {
		done, err = l.stream.Flush(true)
	}
	return asWriteError(err)
}

// open opens the box in the answer, which proves the peer's key.
func (l *login) open(answer []byte) (peer key.Public, info derp.ClientInfo, box key.Box, err error) {
	peer, sealed, err := derp.ParseClientInfo(answer)
	if err == nil {
		box = l.server.cfg.Key.Box(peer)
		info, err = derp.OpenClientInfo(sealed, &box)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrBadLogin, err)
	}
	return peer, info, box, err
}
