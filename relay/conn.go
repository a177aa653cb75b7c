package relay

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"
	"unique"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/audience"
	"github.com/detour-relay/detour/internal/keytable"
	"github.com/detour-relay/detour/internal/limit"
	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/internal/tally"
	"github.com/detour-relay/detour/internal/wheel"
	"github.com/detour-relay/detour/key"
)

// A conn is one connection of a peer that is logged in.
type conn struct {
	transport

	// Set once. What the reader needs for each packet comes after what it does not: the
	// end of the outbox is written by others, and they share a line of the cache.
	addr    netip.AddrPort
	key     key.Public
	since   int64  // when it was registered
	id      uint64 // how many were registered before, and this one
	version int32  // of the protocol, as the peer has said
	sibling bool   // it has a mesh key, or is a twin
	shared  bool   // who reads it reads others, too, and must not sleep
	twin    bool   // it is the other process of a takeover, and a sibling
	prober  bool
	meshKey *key.Mesh             // which one; nil: none
	ideal   unique.Handle[string] // the node that the peer would rather be on; empty: this one
	appName unique.Handle[string] // what the peer calls its program
	group   *tally.Group          // who it is counted with
	until   int64                 // when its admission ends, Unix milliseconds; 0: never
	limits  limit.Member          // limits.go

	// Owned by the reader.
	dests   keytable.Recent[route] // ingress.go: where it has sent to
	skip    uint32                 // bytes of an ignored frame still to come
	answers rate.Bucket            // of PeerGone(not here) and the floods of WatchConns
	idle    limit.Idle             // for frames without packets
	pause   int32                  // nanoseconds, of the last burst, if it overflowed
	rested  bool                   // limits.go: and has not been read since
	owes    *limit.Key             // limits.go: to whom it has sent more than may be; nil: nobody
	owesFor int32                  // limits.go: milliseconds that it rests for that
	most    int32                  // limits.go: how much its stream is to read at once; 0: no matter
	flows   *keytable.Pairs[route] // forward.go: of a sibling that forwards; nil: none yet

	// Written by the reader.
	usedAt  atomic.Int64  // when packets came last
	packets atomic.Uint64 // that came
	bytes   atomic.Uint64 // of them
	begun   atomic.Uint32 // length of the incomplete frame in front of the next burst
	part    wheel.Part    // sweep.go: since when there is one
	home    atomic.Bool   // the peer said that this relay is its home
	resting atomic.Bool   // limits.go: it is not read, for it has used too much

	duplicate atomic.Bool // its key has other conns; set under routes.mu
	route     *route      // of its own key; set once, at registration

	heard audience.Heard    // presence.go: whom it has heard from
	wheel wheel.Entry[conn] // keepalive.go
}

func newConn(s *Server, stream Stream, from *Origin, peer key.Public, info derp.ClientInfo) *conn {
	c := &conn{
		transport: transport{server: s, stream: stream},
		key:       peer,
		addr:      from.Addr,
		since:     s.now(),
		version:   int32(min(max(info.Version, math.MinInt32), math.MaxInt32)),
		prober:    info.IsProber,
		ideal:     unique.Make(from.IdealNode),
		appName:   unique.Make(info.AppName),
		dests:     keytable.NewRecent(fewDestinations, removed),
	}
	if r, ok := stream.(interface{ Reader() int }); ok {
		c.shared = r.Reader() > 0
	}
	if s.meshKeys.Has(info.MeshKey) {
		c.sibling, c.meshKey, c.timeout = true, &info.MeshKey, siblingWriteTimeout
	}
	if from.Takeover && peer == s.public {
		c.sibling, c.twin, c.timeout = true, true, siblingWriteTimeout
	}
	c.initOutbox(s.cfg.OutboxBytes)
	c.out.conn = c
	return c
}

// admitted notes as what the peer has been admitted.
func (c *conn) admitted(a *Admission) {
	c.group = c.server.groups.Join(a.Group)
	if a.Limits != (Limits{}) {
		own := limit.Limits(a.Limits)
		c.limits.Own = &own
	}
	if !a.Until.IsZero() {
		c.until = a.Until.UnixMilli()
	}
}

// expired reports whether the peer's admission has ended.
func (c *conn) expired() bool { return c.until != 0 && time.Now().UnixMilli() >= c.until }

// homeMoveGrace is how long after its start a change of a conn's home is part of
// its login and not a move (spec 5.7).
const homeMoveGrace = 5 * time.Second

// begin registers the conn and sends the answer to its login. Packets may come as
// soon as the key is known; holding the write side meanwhile keeps them behind the
// answer.
func (c *conn) begin(answer []byte) {
	c.out.writing = true
	c.server.routes.add(c)
	c.applyLimits()
	c.server.wheel.Add(c)
	if c.sibling {
		c.server.seen.Send()
	}
	_, err := c.stream.Write(answer)
	done := false
	if err == nil {
		done, err = c.stream.Flush(false)
	}
	switch {
	case err != nil:
		c.out.giveUp(new(batch), asWriteError(err))
	case done:
		c.out.write(c.out.page)
	default:
		c.out.startWriter(true)
	}
	c.noteRoundTrip()
}

// noteRoundTrip asks for the round trip and counts it.
func (c *conn) noteRoundTrip() {
	if d := c.askRoundTrip(); d > 0 {
		c.server.count.roundTrip.Add(int64(d), 1)
	}
}

// serve relays the conn's packets until it ends, and returns why. In between it
// may rest (limits.go). Its frame stays on the stack of every conn.
func (c *conn) serve() error {
	ingest := c.ingest // made once
	err := c.stream.ReadBursts(ingest)
	for err == errRest {
		c.rest()
		err = c.stream.ReadBursts(ingest)
	}
	return c.leave(err)
}

// leave takes the conn out of everything, and returns why it has ended.
func (c *conn) leave(err error) error {
	c.close(err)
	c.server.wheel.Remove(c)
	c.server.routes.remove(c)
	c.server.limits.Leave(&c.limits, c.server.now())
	c.server.groups.Leave(c.group)
	idle := c.out.close()
	c.server.routes.audience.End(c)
	if c.home.Load() {
		c.server.count.homeChanged(false, false) // to leave is not to move
	}
	if idle {
		c.report()
	}
	return *c.ended.Load()
}

// report tells that the conn has left. Whoever writes what was taken for it comes
// later, and reports then.
func (c *conn) report() {
	if c != nil && c.server.cfg.Ended != nil {
		c.server.cfg.Ended(c.state())
	}
}

// setHome notes whether this relay is the peer's home.
func (c *conn) setHome(home bool) {
	if c.home.Swap(home) == home {
		return
	}
	settled := c.server.now()-c.since > int64(homeMoveGrace)
	c.server.count.homeChanged(home, settled)
}
