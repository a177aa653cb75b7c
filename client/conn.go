package client

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/detour-relay/detour/internal/rate"
	"github.com/detour-relay/detour/internal/reach"
	"github.com/detour-relay/detour/internal/readbuf"
	"github.com/detour-relay/detour/internal/socket"
	"github.com/detour-relay/detour/key"
)

// Conn is a connection to a relay. One goroutine at a time may call Recv, any
// number everything else.
type Conn struct {
	// Set once, by Dial.
	sock            *socket.Socket
	tls             *tls.Conn       // nil without TLS
	ws              *websocket.Conn // nil without WebSocket
	stream          io.Writer       // the uppermost of these
	serverKey       key.Public
	box             key.Box
	recordPerPacket bool

	// Owned by the receiver.
	in      readbuf.Buffer
	greeted bool // a frame has arrived

	// Guarded by sendMu, which is held during writes.
	sendMu  sync.Mutex
	sendBuf []byte

	admitted atomic.Bool                // ServerInfo has arrived
	limit    atomic.Pointer[rate.Meter] // what it asked for; nil: nothing; its content is guarded by sendMu
	stats    counters

	control controls

	// The end. done is closed after cause was set.
	end   sync.Once
	cause error
	done  chan struct{}
}

type counters struct {
	skipped, limited, unanswered atomic.Uint64
}

// Stats counts what the connection passed over in silence.
type Stats struct {
	SkippedFrames   uint64 // received frames that were malformed or of an unknown type
	LimitedPackets  uint64 // packets not sent because the relay asked for a lower rate
	UnansweredPings uint64 // Pings of the relay that came faster than Pongs could be sent
}

// Stats returns the counts up to now.
func (c *Conn) Stats() Stats {
	return Stats{
		SkippedFrames:   c.stats.skipped.Load(),
		LimitedPackets:  c.stats.limited.Load(),
		UnansweredPings: c.stats.unanswered.Load(),
	}
}

// ServerKey returns the public key of the relay.
func (c *Conn) ServerKey() key.Public { return c.serverKey }

// TLSState returns the state of the TLS connection, and nil if there is none.
func (c *Conn) TLSState() *tls.ConnectionState {
	if c.tls == nil {
		return nil
	}
	state := c.tls.ConnectionState()
	return &state
}

// LocalAddr returns our address of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.sock.LocalAddr() }

// RemoteAddr returns the address of the relay, or of the proxy.
func (c *Conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }

// Close ends the connection; calls that wait return ErrClosed. It may be called
// from anywhere, more than once, and does not wait for the other side. It returns
// nil.
func (c *Conn) Close() error {
	c.end.Do(func() {
		c.cause = ErrClosed
		c.sayGoodbye()
		c.shut()
	})
	c.control.wait()
	return nil
}

const goodbyeTime = 100 * time.Millisecond

// sayGoodbye sends the end of the TLS stream if that goes without much waiting: not
// while somebody is sending.
func (c *Conn) sayGoodbye() {
	if c.tls == nil || !c.sendMu.TryLock() {
		return
	}
	defer c.sendMu.Unlock()
	c.sock.SetWriteDeadline(time.Now().Add(goodbyeTime))
	c.sock.Hold() // crypto/tls sets a longer deadline of its own
	c.tls.CloseWrite()
	c.sock.SetWriteDeadline(time.Now().Add(goodbyeTime))
	c.sock.Release()
}

func (c *Conn) shut() {
	close(c.done)
	c.sock.Close()
}

// abort ends the connection without a goodbye, unless it has ended before.
func (c *Conn) abort(cause error) {
	c.end.Do(func() {
		c.cause = cause
		c.shut()
	})
}

// fail ends the connection because of err, unless it has ended before, and returns
// why it has ended.
func (c *Conn) fail(err error) error {
	c.end.Do(func() {
		c.cause = c.explain(err)
		c.shut()
	})
	<-c.done // cause is set
	return c.cause
}

// explain finds the meaning that an error has at this point of the connection's
// life.
func (c *Conn) explain(err error) error {
	switch {
	case isTimeout(err):
		err = fmt.Errorf("%w for %v: %w", ErrSilent, socket.Silence, err)
	case reach.IsGone(err) && !c.admitted.Load():
		err = fmt.Errorf("%w: %w", ErrAdmissionRefused, err)
	}
	return fmt.Errorf("relay %s: %w", c.RemoteAddr(), err)
}

// ended returns why the connection has ended, and nil if it has not.
func (c *Conn) ended() error {
	select {
	case <-c.done:
		return c.cause
	default:
		return nil
	}
}
