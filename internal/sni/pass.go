package sni

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/detour-relay/detour/internal/behind"
)

const (
	// dialTimeout bounds the way to a backend. It is near, and a peer waits.
	dialTimeout = 5 * time.Second

	// piece is after how many bytes those that have passed are counted.
	piece = 16 << 20
)

// A Passer passes connections to backends. The zero value counts and logs nothing more
// than that; Log has to be set.
type Passer struct {
	Log *slog.Logger

	// IsSelf reports whether a connection to a backend leads to the relay's own listener.
	IsSelf func(backend net.Conn) bool

	open                atomic.Int64
	passed              atomic.Uint64
	bytesIn, bytesOut   atomic.Uint64
	unknown, none, full atomic.Uint64
	down, loop          atomic.Uint64
}

// A Snapshot is what a Passer has done. Unless it says "now", a field counts from the
// start; bytes do so after some MiB at the latest, or when their direction ends.
type Snapshot struct {
	Open     int      `json:"open"`      // connections to backends, now
	Passed   uint64   `json:"passed"`    // connections that a backend has taken
	BytesIn  uint64   `json:"bytes_in"`  // to backends
	BytesOut uint64   `json:"bytes_out"` // from backends
	Refused  Refusals `json:"refused"`
}

// Refusals are connections that were closed instead of answered or passed, by reason.
type Refusals struct {
	Unknown uint64 `json:"unknown"` // a name that nobody has
	None    uint64 `json:"none"`    // no name
	Full    uint64 `json:"full"`    // there are as many foreign ones as may be
	Down    uint64 `json:"down"`    // the backend does not answer
	Loop    uint64 `json:"loop"`    // the backend is the relay itself
}

// Snapshot returns the numbers now.
func (p *Passer) Snapshot() Snapshot {
	return Snapshot{
		Open: int(p.open.Load()), Passed: p.passed.Load(), BytesIn: p.bytesIn.Load(), BytesOut: p.bytesOut.Load(),
		Refused: Refusals{Unknown: p.unknown.Load(), None: p.none.Load(), Full: p.full.Load(), Down: p.down.Load(), Loop: p.loop.Load()},
	}
}

// Closed counts a connection that the rules have closed.
func (p *Passer) Closed(v Verdict) {
	if v.Named {
		p.unknown.Add(1)
	} else {
		p.none.Add(1)
	}
}

// Full counts a connection for which there was no room.
func (p *Passer) Full() { p.full.Add(1) }

var errLoop = errors.New("the relay itself answers there")

// Pass connects to the backend of a verdict, hands it what was read ahead, and passes on
// until both sides have said all they have to say, or ctx is done. It closes c.
func (p *Passer) Pass(ctx context.Context, c net.Conn, ahead []byte, v Verdict, from, to netip.AddrPort) {
	defer c.Close()
	b := v.backend
	backend, err := p.reach(ctx, b, ahead, from, to)
	switch {
	case ctx.Err() != nil && err != nil:
		p.down.Add(1) // nobody's fault, and nothing to say
		return
	case errors.Is(err, errLoop):
		p.loop.Add(1)
		p.say(b, "connections lead back to the relay's own listener", err, "have the server of that name listen elsewhere, and name its address")
		return
	case err != nil:
		p.down.Add(1)
		p.say(b, "a server that shares the relay's port does not answer", err, "start it, or correct its address")
		return
	}
	defer backend.Close()
	defer context.AfterFunc(ctx, func() {
		c.Close()
		backend.Close()
	})()
	p.passed.Add(1)
	p.bytesIn.Add(uint64(len(ahead)))
	p.open.Add(1)
	defer p.open.Add(-1)
	p.join(c, backend)
}

// say tells of a backend once a minute.
func (p *Passer) say(b *Backend, what string, err error, remedy string) {
	if b.due() {
		p.Log.Warn(what+"; the next such line comes in a minute at the earliest", "name", b.About, "backend", b.String(), "reason", err, "remedy", remedy)
	}
}

// reach connects to a backend and begins.
func (p *Passer) reach(ctx context.Context, b *Backend, ahead []byte, from, to netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	backend, err := dialer.DialContext(ctx, b.Network, b.Addr)
	if err != nil {
		return nil, err
	}
	if p.IsSelf != nil && p.IsSelf(backend) {
		backend.Close()
		return nil, errLoop
	}
	first := ahead
	if b.Header {
		first = append(behind.Header(from, to), ahead...)
	}
	backend.SetWriteDeadline(time.Now().Add(dialTimeout))
	if _, err := backend.Write(first); err != nil {
		backend.Close()
		return nil, err
	}
	backend.SetWriteDeadline(time.Time{})
	return backend, nil
}

// join passes on what either side says. One that has said all is told the other, which
// may go on; one that fails ends both.
func (p *Passer) join(c, backend net.Conn) {
	var in sync.WaitGroup
	in.Go(func() { oneWay(backend, c, &p.bytesIn) })
	oneWay(c, backend, &p.bytesOut)
	in.Wait()
}

func oneWay(to, from net.Conn, count *atomic.Uint64) {
	err := copyAll(to, from, count)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		err = half.CloseWrite()
	}
	if err != nil {
		to.Close()
		from.Close()
	}
}

// copyAll returns nil at the end of what one says. Between sockets the kernel does it
// (splice on Linux): net's own ReadFrom and WriteTo see to that.
func copyAll(to, from net.Conn, count *atomic.Uint64) error {
	if _, ok := to.(io.ReaderFrom); !ok {
		n, err := io.Copy(to, from) // a unix socket takes all at once from one of TCP only
		count.Add(uint64(n))
		return err
	}
	for {
		n, err := io.Copy(to, io.LimitReader(from, piece))
		count.Add(uint64(n))
		if err != nil || n < piece {
			return err
		}
	}
}
