package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/detour-relay/detour/internal/behind"
	"github.com/detour-relay/detour/internal/netio"
	"github.com/detour-relay/detour/internal/reach"
)

// Proxies says which proxies are believed when they say whom they bring. Who comes
// through a unix socket is believed in any case: its mode says who may.
type Proxies struct {
	Believed behind.Proxies

	// HeaderOptional also takes what begins without a PROXY header, for a request that
	// has Forwarded or X-Forwarded-For. A proxy that passes bytes on and adds no header
	// would have peers write it themselves, so it is for those that make requests.
	HeaderOptional bool
}

// believes reports whether what comes from a socket's address says whom it brings.
func (p *Proxies) believes(addr net.Addr) bool {
	switch addr := addr.(type) {
	case *net.TCPAddr:
		return p.Believed.Believes(addr.AddrPort().Addr())
	case *net.UnixAddr:
		return true
	}
	return false
}

// mostIntroduction bounds the time in which a header has to come: it stands before all
// else that a proxy sends.
const mostIntroduction = 5 * time.Second

// introduced has a proxy that is believed say by a header whom it brings. It reports
// false if nothing comes of the connection.
func (s *Server) introduced(c net.Conn, m *netio.Metered, now *Config) bool {
	if !now.Proxies.believes(m.Conn.RemoteAddr()) {
		return true
	}
	m.Conn.SetReadDeadline(time.Now().Add(min(mostIntroduction, now.HandshakeTimeout)))
	from, ahead, err := behind.ReadHeader(m.Conn)
	m.Conn.SetReadDeadline(time.Time{})
	switch {
	case errors.Is(err, behind.ErrNoHeader) && now.Proxies.HeaderOptional:
		m.Precede(nil, ahead)
		return true
	case err != nil:
		s.uninvited(c, m, now, refusalOf(err), err)
		return false
	}
	if !from.IsValid() { // it speaks for itself
		m.Precede(nil, ahead)
	} else {
		m.Precede(net.TCPAddrFromAddrPort(from), ahead)
	}
	s.pending.introduce(c)
	if from.IsValid() && !now.Proxies.Believed.Believes(from.Addr()) && !s.arrives(m.RemoteAddr(), now) {
		s.count.rejected.Add(1)
		s.drop(c)
		return false
	}
	return true
}

// uninvited closes a connection of a proxy that is believed and has not said whom it
// brings.
func (s *Server) uninvited(c net.Conn, m *netio.Metered, now *Config, why proxyRefusal, err error) {
	if !s.pending.remove(c) {
		why = refusedLeft // evicted, expired or shut down
	}
	s.refusedProxy(why, m.Conn.RemoteAddr().String(), err)
	closeNow(m.Conn)
}

// bring has a request upgraded, now that it is to be known where it comes from.
func (s *Server) bring(w http.ResponseWriter, r *http.Request, upgrade func(http.ResponseWriter, *http.Request, netip.AddrPort)) {
	from, err := s.origin(r)
	if err != nil {
		s.refuseOrigin(w, r, err)
		return
	}
	upgrade(w, r, from)
}

// origin returns where the peer of a request comes from: from where its connection
// does, or whom a proxy that is believed says that it brings.
func (s *Server) origin(r *http.Request) (netip.AddrPort, error) {
	now := s.now.Load()
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if !s.isProxied(r) {
		return at, nil // counted when it was accepted, or introduced
	}
	from, err := now.Proxies.Believed.From(r.Header)
	if errors.Is(err, behind.ErrSilent) && r.Context().Value(introducedKey{}) != nil {
		from, err = at, nil // one of the proxies themselves, or a neighbour
	}
	if err == nil && from.IsValid() && !s.arrives(net.TCPAddrFromAddrPort(from), now) {
		err = errTooMany
	}
	return from, err
}

// isProxied reports whether a request comes from a proxy that is believed.
func (s *Server) isProxied(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	_, isUnix := s.listener.Addr().(*net.UnixAddr)
	return isUnix && err != nil || s.now.Load().Proxies.Believed.Believes(at.Addr())
}

var errTooMany = errors.New("too many connections come from there")

// refuseOrigin answers a request of which nobody knows where it comes from, or from
// where too many come.
func (s *Server) refuseOrigin(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, errTooMany) {
		s.count.rejected.Add(1)
		w.Header().Set("Retry-After", "1")
		http.Error(w, reach.WordTooMany+" for now", http.StatusTooManyRequests)
		return
	}
	s.refusedProxy(refusalOf(err), r.RemoteAddr, err)
	http.Error(w, reach.WordNoOrigin+", and cannot make out whom it brings: "+err.Error()+
		". Have it send X-Forwarded-For or Forwarded (and the peer's own taken out), or a PROXY header.", http.StatusBadRequest)
}

// introducedKey marks the context of what came with a PROXY header.
type introducedKey struct{}

// connContext is asked by net/http for the context of a connection's requests.
func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	if s.now.Load().home.Site() {
		ctx = context.WithValue(ctx, connKey{}, c)
	}
	if s.pending.isIntroduced(c) {
		return context.WithValue(ctx, introducedKey{}, true)
	}
	return ctx
}

// lookForHeader notes a PROXY header where none is taken, on a connection without TLS:
// net/http only says that the request is malformed.
func (s *Server) lookForHeader(m *netio.Metered) {
	m.Look(func(first []byte) {
		if behind.Begins(first) {
			s.refusedProxy(refusedUnexpected, m.Conn.RemoteAddr().String(), errUnexpected)
		}
	})
}

var errUnexpected = errors.New("a PROXY header has come from where none is taken")

// proxyRefusal is why something came to nothing that a proxy brought.
type proxyRefusal uint8

const (
	refusedMissing       proxyRefusal = iota // it is believed, and does not say whom it brings
	refusedMalformed                         // what it says cannot be read
	refusedSlow                              // its header has not come in time
	refusedLeft                              // it has closed the connection before
	refusedContradiction                     // Forwarded and X-Forwarded-For differ
	refusedUnexpected                        // it is not believed, and sends a header
	proxyRefusals                            // how many there are
)

func refusalOf(err error) proxyRefusal {
	switch {
	case errors.Is(err, behind.ErrNoHeader), errors.Is(err, behind.ErrSilent):
		return refusedMissing
	case errors.Is(err, behind.ErrMalformed):
		return refusedMalformed
	case errors.Is(err, behind.ErrContradiction):
		return refusedContradiction
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refusedSlow
	}
	return refusedLeft
}

// proxyRemedies say what to do about it.
var proxyRemedies = [proxyRefusals]string{
	refusedMissing:       "have the proxy send a PROXY header (send-proxy-v2, proxy_protocol on) or X-Forwarded-For, or do not name its network as one of proxies",
	refusedMalformed:     "have the proxy send a PROXY header of TCP, or X-Forwarded-For with addresses",
	refusedSlow:          "have the proxy send its PROXY header at once",
	refusedContradiction: "have the proxy take out the one of Forwarded and X-Forwarded-For that it does not set",
	refusedUnexpected:    "if this is your proxy, name its network as one of proxies; else somebody tries what it may",
}

// refusedProxy counts it, and says it once in a while.
func (s *Server) refusedProxy(why proxyRefusal, conn string, err error) {
	s.count.proxy[why].Add(1)
	if remedy := proxyRemedies[why]; remedy != "" && s.refusalLines[why].Due(time.Since(s.born)) {
		s.config.Logger.Warn("a proxy's connection is refused; the next such line comes in a minute at the earliest", "conn", conn, "reason", err, "remedy", remedy)
		return
	}
	s.config.Logger.Debug("a proxy's connection is refused", "conn", conn, "reason", err)
}

// begin takes a connection that has been accepted to net/http: by way of its
// introduction, and of TLS.
func (s *Server) begin(c net.Conn, m *netio.Metered, now *Config) {
	defer s.inside.Done()
	if !s.introduced(c, m, now) {
		return
	}
	if t, ok := c.(*tls.Conn); ok {
		if diverted := s.secure(t, m); diverted != nil {
			s.divert(c, m, diverted)
		}
		return
	}
	s.handOver(c)
}
