package netio

import (
	"net"
	"sync/atomic"
)

// A Meter is told how many bytes came from a conn, and may end it with an error.
type Meter interface {
	Took(n int) error
}

// A Turn is had by who computes, and not while he reads or writes.
type Turn interface {
	Take()
	Leave()
}

// A Metered conn tells a meter of what it reads, until Release. It may stand
// beneath a [Wire], also one that has been taken over: the stream tells it of what
// it reads itself, and reads it in small pieces.
type Metered struct {
	net.Conn
	meter    Meter
	released atomic.Bool

	// Set before anybody reads, by Precede and Look.
	from net.Addr     // instead of the socket's; nil: that
	look func([]byte) // at what is read first; nil: nobody does

	turn Turn // of who reads and writes; nil: he needs none. Owned by him

	ahead []byte // read already, and still to be read; owned by the reader
}

// NewMetered returns c with a meter.
func NewMetered(c net.Conn, meter Meter) *Metered { return &Metered{Conn: c, meter: meter} }

// Precede says what was learnt of a conn before anybody reads it: where it comes
// from, if not from where its socket does, and what was read of it already and is
// still to be read, which is its own from now on.
func (m *Metered) Precede(from net.Addr, ahead []byte) { m.from, m.ahead = from, ahead }

// Look has a function see what is read first. It may not keep it.
func (m *Metered) Look(look func(first []byte)) { m.look = look }

// InTurns has who reads take a turn whenever something has come, and leave it before he
// waits for more, or writes. nil: no more turns; the last one stays his to leave.
func (m *Metered) InTurns(turn Turn) { m.turn = turn }

// RemoteAddr implements net.Conn.
func (m *Metered) RemoteAddr() net.Addr {
	if m.from != nil {
		return m.from
	}
	return m.Conn.RemoteAddr()
}

// Release takes the meter off.
func (m *Metered) Release() { m.released.Store(true) }

// Read implements net.Conn.
func (m *Metered) Read(p []byte) (n int, err error) {
	if len(m.ahead) > 0 {
		n = copy(p, m.ahead)
		if m.ahead = m.ahead[n:]; len(m.ahead) == 0 {
			m.ahead = nil
		}
	} else {
		n, err = m.read(p)
	}
	if m.look != nil && n > 0 {
		m.look(p[:n])
		m.look = nil
	}
	if meterErr := m.took(n); meterErr != nil {
		return 0, meterErr
	}
	return n, err
}

func (m *Metered) read(p []byte) (n int, err error) {
	if m.turn == nil {
		return m.Conn.Read(p)
	}
	m.turn.Leave()
	if n, err = m.Conn.Read(p); err == nil {
		m.turn.Take()
	}
	return n, err
}

// Write implements net.Conn.
func (m *Metered) Write(p []byte) (int, error) {
	if m.turn != nil {
		m.turn.Leave()
	}
	return m.Conn.Write(p)
}

// CloseWrite lets net/http say its last word before it closes a conn whose peer
// still sends.
func (m *Metered) CloseWrite() error {
	if c, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (m *Metered) took(n int) error {
	if m.released.Load() {
		return nil
	}
	return m.meter.Took(n)
}

// bare returns the conn without its meter, and the meter, if there is one.
func bare(c net.Conn) (net.Conn, *Metered) {
	if m, ok := c.(*Metered); ok {
		return m.Conn, m
	}
	return c, nil
}

// aheadOf is what is to be read of a conn before all that comes from its socket.
func aheadOf(c net.Conn) []byte {
	if m, ok := c.(*Metered); ok {
		return m.ahead
	}
	return nil
}
