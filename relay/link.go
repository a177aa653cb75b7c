package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/frames"
	"github.com/detour-relay/detour/internal/greeting"
	"github.com/detour-relay/detour/key"
)

// A Sibling is another relay of our region, to be linked to.
type Sibling struct {
	// Name is what the operator calls it, for logs and snapshots.
	Name string

	// Addr is where it was dialled; zero if unknown.
	Addr netip.AddrPort

	// Takeover: the sibling is the other process of a takeover, with our own key, and
	// serves the stream as one from a twin (see Origin).
	Takeover bool

	// Linked is called when the sibling has begun to tell us its peers: the link
	// is good. It must not block. May be nil.
	Linked func(key.Public)

	// Restarting is called when the sibling says that it is about to go down. The
	// link lives on until the sibling ends it, and a second one to the same key is
	// welcome, which may reach the process that takes over. It must not block. May
	// be nil.
	Restarting func(reconnectIn, tryFor time.Duration)
}

const (
	// A link asks its sibling for a sign of life every so often, and is broken when
	// nothing has come for so many times in a row: the other side of a connection
	// can vanish without a word. Times are counted, not clocks compared, so that a
	// machine that was suspended does not break its links on waking up.
	linkPing   = 5 * time.Second
	linkMisses = 4

	// linkTimeout is how long a sibling may take no bytes (spec 6.4).
	linkTimeout = 5 * time.Second

	linkControlLimit = 64 << 10
)

// A link is the connection that we made to a sibling. Packets for the peers that
// it announces go into its outbox.
type link struct {
	transport

	// Set once.
	to    Sibling
	key   key.Public // the sibling's
	box   key.Box
	since int64

	// Owned by the reader.
	frames   frames.Reader
	admitted bool // ServerInfo has arrived

	told  atomic.Bool // its first PeerPresent has arrived: the link is up
	heard atomic.Bool // bytes have come since the last Ping

	// Guarded by routes.mu.
	announced  map[key.Public]*route
	restarting bool // it has said so
	cut        bool // the link is over: nothing is announced any more
}

// Link logs in to a sibling over stream, whose first bytes are the sibling's
// greeting, learns which peers it has and forwards packets to it until the link
// ends or Shutdown is called. It owns stream and has closed it when it returns.
// What the sibling had announced is forgotten then. The error says why the link
// ended and is never nil.
func (s *Server) Link(ctx context.Context, stream Stream, to Sibling) error {
	defer stream.Close()
	meshKey, ok := s.meshKeys.First()
	if !ok && !to.Takeover {
		return ErrNoMeshKey
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() { stream.Close() })()
	}
	_, left := context.WithCancel(ctx)
	if !s.enter(stream, left, true) {
		left()
		return ErrShutdown
	}
	defer s.running.Done()
	s.count.linkTries.Add(1)
	l, err := s.join(stream, to, meshKey)
	if err == nil {
		err = l.serve()
	}
	s.count.linksEnded[reasonOf(err)].Add(1)
	s.cfg.Logger.Debug("link ended", "sibling", to.Name, "addr", to.Addr, "reason", reasonOf(err).String(), "err", err)
	return err
}

// join exchanges the greeting of the sibling for our login, which asks for its
// peers at once. The answer comes later.
func (s *Server) join(stream Stream, to Sibling, meshKey key.Mesh) (*link, error) {
	defer s.entered(stream)
	deadline := greeting.NewDeadline(stream)
	sibling, err := greeting.ReadServer(stream)
	var l *link
	if err == nil {
		l, err = s.introduce(stream, to, sibling, meshKey)
	}
	return l, deadline.Stop(err)
}

// introduce tells a sibling who we are, unless we are that or have a link to it.
func (s *Server) introduce(stream Stream, to Sibling, sibling key.Public, meshKey key.Mesh) (*link, error) {
	if sibling == s.public && !to.Takeover {
		return nil, ErrSelf
	}
	l := newLink(s, stream, to, sibling)
	if err := s.routes.link(l); err != nil {
		return nil, err
	}
	err := greeting.SendSibling(stream, s.public, &l.box, meshKey)
	if err != nil {
		s.routes.unlink(l)
	}
	return l, asWriteError(err)
}

func newLink(s *Server, stream Stream, to Sibling, sibling key.Public) *link {
	l := &link{
		transport: transport{server: s, stream: stream, timeout: linkTimeout},
		to:        to,
		key:       sibling,
		box:       s.cfg.Key.Box(sibling),
		since:     s.now(),
		announced: make(map[key.Public]*route),
	}
	l.frames = frames.Reader{Means: means, Take: l.control, Bad: badFrame}
	l.initOutbox(s.cfg.LinkOutboxBytes)
	l.out.box.Wide = true
	l.out.page = s.count.book.Page(uint64(l.since))
	return l
}

// serve keeps the link until it ends, and returns why.
func (l *link) serve() error {
	quit := make(chan struct{})
	pinging := make(chan struct{})
	go func() {
		defer close(pinging)
		l.pingLoop(quit)
	}()
	l.close(l.why(l.stream.ReadBursts(l.ingest)))
	close(quit)
	<-pinging
	l.server.routes.unlink(l)
	l.out.close()
	return *l.ended.Load()
}

// why explains an end that came before the sibling told of any peer, although it
// has at least our own conn: it did not take us for a sibling.
func (l *link) why(err error) error {
	if !l.told.Load() && (errors.Is(err, io.EOF) || reasonOf(err) == endReadError) && l.ended.Load() == nil {
		return fmt.Errorf("%w: %w", ErrNotSibling, err)
	}
	return err
}

// pingLoop sends Pings and ends the link when nothing comes back any more.
func (l *link) pingLoop(quit chan struct{}) {
	t := time.NewTicker(linkPing)
	defer t.Stop()
	var n [derp.PingLen]byte
	for misses := 0; misses < linkMisses; misses++ {
		select {
		case <-quit:
			return
		case <-t.C:
		}
		if l.heard.Swap(false) {
			misses = 0
		}
		l.askRoundTrip()
		n[0]++
		if l.out.pushControl(derp.AppendPing(nil, n), linkControlLimit) {
			l.out.flush(nil, l.out.page)
		}
	}
	l.close(ErrSilent)
}

// ingest takes what the sibling tells us. It is the handler of the link's
// stream.
func (l *link) ingest(burst []byte) (used int, err error) {
	l.heard.Store(true)
	return l.frames.Burst(burst)
}

// means reports whether a link does anything about frames of type t. Whoever
// sends packets to our own key, for one, sends them to nobody.
func means(t derp.FrameType) bool {
	switch t {
	case derp.FrameServerInfo, derp.FramePeerPresent, derp.FramePeerGone, derp.FramePing, derp.FrameRestarting:
		return true
	}
	return false
}

func (l *link) control(t derp.FrameType, payload []byte) error {
	switch t {
	case derp.FrameServerInfo:
		return l.serverInfo(payload)
	case derp.FramePeerPresent:
		return l.peerPresent(payload)
	case derp.FramePeerGone: // for any reason, also "not here" (spec 6.4)
		peer, _, err := derp.ParsePeerGone(payload)
		if err == nil {
			l.server.routes.withdrawn(l, peer)
		}
		return asBadFrame(t, err)
	case derp.FramePing:
		return l.pong(payload)
	}
	reconnectIn, tryFor, err := derp.ParseRestarting(payload)
	if err == nil {
		l.restarts(reconnectIn, tryFor)
	}
	return asBadFrame(t, err)
}

func asBadFrame(t derp.FrameType, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %v: %w", ErrBadFrame, t, err)
}

func (l *link) serverInfo(payload []byte) error {
	if _, err := derp.OpenServerInfo(payload, &l.box); err != nil {
		return fmt.Errorf("%w: %w", ErrBadLogin, err)
	}
	l.admitted = true
	return nil
}

func (l *link) peerPresent(payload []byte) error {
	p, err := derp.ParsePeerPresent(payload)
	if err != nil {
		return asBadFrame(derp.FramePeerPresent, err)
	}
	if !l.admitted {
		return fmt.Errorf("%w: %v before ServerInfo", ErrBadLogin, derp.FramePeerPresent)
	}
	if err := l.server.routes.announced(l, p.Key); err != nil {
		return err
	}
	if first := !l.told.Swap(true); first && l.to.Linked != nil {
		l.to.Linked(l.key)
	}
	return nil
}

func (l *link) pong(payload []byte) error {
	data, err := derp.ParsePing(payload)
	if err != nil {
		return asBadFrame(derp.FramePing, err)
	}
	if l.out.pushPong(data) {
		l.out.flush(nil, l.out.page)
	}
	return nil
}

func (l *link) restarts(reconnectIn, tryFor time.Duration) {
	l.server.routes.restarting(l)
	if l.to.Restarting != nil {
		l.to.Restarting(reconnectIn, tryFor)
	}
}
