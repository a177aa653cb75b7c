package relay

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
)

// A conn is one connection of a peer that is logged in.
type conn struct {
	// Set once.
	server   *Server
	stream   Stream
	key      key.Public
	addr     netip.AddrPort
	since    int64 // when it was registered
	sibling  bool  // it has the mesh key
	prober   bool
	notIdeal bool
	ended    atomic.Pointer[error] // why it was closed, by whoever was first

	out outbox

	// Owned by the reader.
	dests   []destination // ingress.go; a power of two
	skip    int           // bytes of an ignored frame still to come
	begun   int           // length of the incomplete frame in front of the next burst
	home    bool          // the peer said that this relay is its home
	notHere limiter       // of PeerGone(not here)

	duplicate atomic.Bool // its key has other conns; set under routes.mu
	route     *route      // of its own key; set once, at registration

	heard heard      // gone.go
	beat  pulseEntry // pulse.go
}

func newConn(s *Server, stream Stream, from Origin, peer key.Public, info derp.ClientInfo) *conn {
	c := &conn{
		server:   s,
		stream:   stream,
		key:      peer,
		addr:     from.Addr,
		since:    s.now(),
		sibling:  s.isMeshKey(info.MeshKey),
		prober:   info.IsProber,
		notIdeal: from.NotIdeal,
		dests:    noDestinations(fewDestinations),
	}
	c.out = outbox{
		owner: c,
		limit: s.cfg.OutboxBytes,
		age:   max(0, int64(s.cfg.OutboxAge)),
		count: &s.count,
	}
	c.out.drain = c.out.drainBlocked
	return c
}

// homeMoveGrace is how long after its start a change of a conn's home is part of
// its login and not a move (spec 5.7).
const homeMoveGrace = 5 * time.Second

// isMeshKey compares k with every mesh key in constant time.
func (s *Server) isMeshKey(k key.Mesh) bool {
	found := false
	for _, mine := range s.cfg.MeshKeys {
		if mine.Equal(k) {
			found = true
		}
	}
	return found
}

// begin registers the conn and sends the greeting, which so is the first frame
// behind ServerKey, in front of packets that come as soon as the key is known.
func (c *conn) begin(greeting []byte) {
	c.out.writing = true
	c.server.routes.add(c)
	c.server.pulse.add(c)
	_, err := c.stream.Write(greeting)
	done := false
	if err == nil {
		done, err = c.stream.Flush(false)
	}
	switch {
	case err != nil:
		c.close(asWriteError(err))
	case done:
		c.out.write()
	default:
		c.out.startDraining()
	}
}

// serve relays the conn's packets until it ends, and returns why.
func (c *conn) serve() error {
	c.close(c.stream.ReadBursts(c.ingest))
	c.server.pulse.remove(c)
	c.server.routes.remove(c)
	c.out.close()
	c.forgetHeard()
	if c.home {
		c.server.count.homeChanged(false, false) // to leave is not to move
	}
	return *c.ended.Load()
}

// close ends the conn for the reason given, if nobody did before.
func (c *conn) close(err error) {
	if c.ended.CompareAndSwap(nil, &err) {
		c.stream.Close()
	}
}

// setHome notes whether this relay is the peer's home.
func (c *conn) setHome(home bool) {
	if c.home == home {
		return
	}
	c.home = home
	settled := c.server.now()-c.since > int64(homeMoveGrace)
	c.server.count.homeChanged(home, settled)
}
