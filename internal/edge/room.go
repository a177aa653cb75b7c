package edge

import (
	"net"
	"time"
)

// The descriptors of the process are divided: some are kept back for what is not
// accepted here (links to siblings, the addresses for operators, files, lookups),
// a quarter is for strangers, a quarter for who does not come for the relay where there
// is such, the rest for peers.
const (
	leastReserve, mostReserve = 32, 512
	reserveParts              = 16 // one of so many is kept back
	pendingParts              = 4  // one of so many is for strangers
	foreignParts              = 4  // one of so many is for foreign connections

	// foreignCost is what one of these takes: its socket, that to its backend, and a pipe
	// for each direction, by which the kernel moves what is passed on.
	foreignCost = 6
)

// divide fits what the configuration asks for into so many descriptors; 0 means
// that their number is unknown.
func (c *Config) divide(descriptors int) {
	if descriptors <= 0 {
		return
	}
	free := max(2, descriptors-min(max(descriptors/reserveParts, leastReserve), mostReserve))
	c.MaxPending = max(1, min(c.MaxPending, free/pendingParts))
	c.MaxForeign = max(1, min(c.MaxForeign, free/foreignParts/foreignCost))
	most := free - c.MaxPending
	if c.SNI != nil {
		most -= c.MaxForeign * foreignCost
	}
	if most = max(1, most); c.MaxConns == 0 || c.MaxConns > most {
		c.MaxConns = most
	}
}

// ownConns is how many connections of this machine may come in beyond the limit,
// from the reserve: the self-check has to find out that a full house works. They
// are few, because a proxy on this machine brings everybody from here.
const ownConns = 8

// hasRoom reports whether a connection may come in where there may be so many; 0: any
// number.
func (s *Server) hasRoom(c net.Conn, most int) bool {
	if most > 0 && isOwn(c) {
		most += ownConns
	}
	if most == 0 || s.Conns() < most {
		return true
	}
	s.turnedAway.Store(int64(time.Since(s.born)))
	return false
}

// isOwn reports whether a connection comes from one of this machine's addresses
// to the same one.
func isOwn(c net.Conn) bool {
	if _, isUnix := c.RemoteAddr().(*net.UnixAddr); isUnix {
		return true
	}
	from, ok := c.RemoteAddr().(*net.TCPAddr)
	to, ok2 := c.LocalAddr().(*net.TCPAddr)
	return ok && ok2 && (from.IP.IsLoopback() || from.IP.Equal(to.IP))
}

// fullFor is how long Full stays true after somebody was turned away.
const fullFor = time.Minute

// Full reports whether the relay has as many conns as it may have, or had so until
// a moment ago, or cannot accept for want of descriptors. It works, then, and wants
// no more peers: that is no reason to take it for broken.
func (s *Server) Full() bool {
	if most := s.now.Load().MaxConns; most > 0 && s.Conns() >= most {
		return true
	}
	at := s.turnedAway.Load()
	return at != 0 && time.Since(s.born)-time.Duration(at) < fullFor
}
