package netio

import (
	"cmp"
	"net"
	"time"
)

// A Wire is the transport to put under tls.Server. It passes bytes through
// until [TLS] takes it over; from then on the TLS conn reads from the burst at
// hand and writes into the stage, and makes no system call.
type Wire struct {
	net.Conn

	out *staged // set once, by takeOver

	// Owned by the reader.
	burst    []byte // ciphertext not yet read
	controls controls
}

// NewWire returns a wire over c.
func NewWire(c net.Conn) *Wire { return &Wire{Conn: c} }

func (w *Wire) takeOver(out *staged) {
	w.out = out
	w.controls.begin()
}

// Release takes the meter off the conn beneath, if there is one, and forgets it.
// Nobody may read meanwhile.
func (w *Wire) Release() {
	if m, ok := w.Conn.(*Metered); ok {
		m.Release()
		if len(m.ahead) == 0 || w.out != nil { // else it is read from there
			w.Conn = m.Conn
		}
	}
}

// Counted returns c, a TLS conn over w, for a reader that is not a stream of this
// package: from now on its reads fail with [ErrControlRecords] if the peer
// deserves it.
func (w *Wire) Counted(c net.Conn) net.Conn {
	w.controls.begin()
	return counted{c, w}
}

type counted struct {
	net.Conn
	wire *Wire
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.wire.controls.took()
	}
	return n, err
}

// feed makes burst what the TLS conn reads next, until unread is called.
func (w *Wire) feed(burst []byte) { w.burst = burst }

// unread takes back what was fed and not read, and returns its length.
func (w *Wire) unread() int {
	n := len(w.burst)
	w.burst = nil
	return n
}

// Read reads from the network or, once taken over, from the burst at hand.
func (w *Wire) Read(p []byte) (n int, err error) {
	if err := w.controls.check(); err != nil {
		return 0, err
	}
	switch {
	case w.out == nil:
		n, err = w.Conn.Read(p)
	case len(w.burst) == 0:
		return 0, errDry
	default:
		n = copy(p, w.burst[:w.fitting(len(p))])
		w.burst = w.burst[n:]
	}
	w.controls.pass(p[:n])
	return n, err
}

// fitting returns how much of the burst is to be read into so many bytes of room: no record
// in part, if a whole one fits. Behind a part, crypto/tls has to make room for the rest: it
// moves what is there, or takes twice the memory.
func (w *Wire) fitting(room int) int {
	if room >= len(w.burst) {
		return len(w.burst)
	}
	return cmp.Or(w.controls.whole(w.burst[:room]), room)
}

// Write writes to the network or, once taken over, into the stage.
func (w *Wire) Write(p []byte) (int, error) {
	if w.out == nil {
		return w.Conn.Write(p)
	}
	return w.out.Write(p)
}

// SetDeadline, SetReadDeadline and SetWriteDeadline mean the network only while
// bytes pass through; afterwards the stream's owner watches the time.
func (w *Wire) SetDeadline(t time.Time) error {
	if w.out != nil {
		return nil
	}
	return w.Conn.SetDeadline(t)
}

func (w *Wire) SetReadDeadline(t time.Time) error {
	if w.out != nil {
		return nil
	}
	return w.Conn.SetReadDeadline(t)
}

func (w *Wire) SetWriteDeadline(t time.Time) error {
	if w.out != nil {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}

// errDry says that the burst at hand is used up. crypto/tls keeps a conn usable
// after an error that calls itself temporary.
var errDry error = dryError{}

type dryError struct{}

func (dryError) Error() string   { return "netio: no more bytes in this burst" }
func (dryError) Timeout() bool   { return true }
func (dryError) Temporary() bool { return true }
