package edge

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/decoy"
)

// connKey marks the context of a request with its connection, as net/http knows it.
type connKey struct{}

// serveSite has the operator's own home answer a request. For that time the connection is
// a foreign one instead of a stranger, with the bound of these: an answer may take as long
// as it moves. Afterwards it is a stranger again, who may still want to be a peer, as one
// that a proxy keeps for whatever comes.
func (s *Server) serveSite(w http.ResponseWriter, r *http.Request, home *decoy.Home) {
	conn, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok || !s.foreign.enter() { // it came before there was a site
		s.count.busy.Add(1)
		w.Header().Set("Connection", "close")
		w.Header().Set("Retry-After", "1")
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	defer s.foreign.leave()
	who := s.pending.lend(conn)
	if who == nil {
		panic(http.ErrAbortHandler) // closed in this very moment
	}
	defer context.AfterFunc(s.life, func() { closeNow(who.transport) })()
	s.count.visits.Add(1)
	p := &patient{ResponseWriter: w, control: http.NewResponseController(w), time: s.config.PendingTimeout, asked: r.Body}
	p.send(false)
	p.take()
	if r.ContentLength != 0 {
		r.Body = p
	}
	defer func() {
		if p.end() {
			s.pending.giveBack(who)
		}
	}()
	home.ServeHTTP(p, r)
}

// patient gives a peer its time anew with each piece that it takes or sends.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	time    time.Duration
	asked   io.ReadCloser

	mu   sync.Mutex
	over bool // guarded by mu: the connection is somebody else's again
}

// send gives the peer time for its next bytes, or as long as it likes. The body is read by
// a goroutine that may outlive its request.
func (p *patient) send(limited bool) { p.set(p.control.SetReadDeadline, limited) }

// take gives the peer time to take what comes next.
func (p *patient) take() { p.set(p.control.SetWriteDeadline, true) }

func (p *patient) set(deadline func(time.Time) error, limited bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var until time.Time
	if limited {
		until = time.Now().Add(p.time)
	}
	if !p.over {
		deadline(until)
	}
}

// end gives the connection back, and reports whether there is still one.
func (p *patient) end() bool {
	p.send(true)
	p.take()
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.over
	p.over = true
	return !was
}

// Unwrap is for [http.ResponseController].
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// Write implements http.ResponseWriter. In pieces, so that one is not a whole file.
func (p *patient) Write(b []byte) (n int, err error) {
	for err == nil && len(b) > 0 {
		p.take()
		var wrote int
		wrote, err = p.ResponseWriter.Write(b[:min(len(b), mostPiece)])
		n, b = n+wrote, b[wrote:]
	}
	return n, err
}

const mostPiece = 64 << 10

// FlushError is for [http.ResponseController].
func (p *patient) FlushError() error {
	p.take()
	return p.control.Flush()
}

// Read is that of the request's body. What comes after its end is not waited for.
func (p *patient) Read(b []byte) (int, error) {
	p.send(true)
	p.take() // the answer begins later
	n, err := p.asked.Read(b)
	if err != nil {
		p.send(false)
	}
	return n, err
}

// Close is that of the request's body.
func (p *patient) Close() error { return p.asked.Close() }

// Hijack takes the connection away from net/http for something that is no HTTP.
func (p *patient) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn, rw, err := p.control.Hijack()
	p.over = p.over || err == nil
	return conn, rw, err
}
