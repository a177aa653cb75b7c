package netio

import (
	"net"
	"sync/atomic"
)

// A Meter is told how many bytes came from a conn, and may end it with an error.
type Meter interface {
	Took(n int) error
}

// A Metered conn tells a meter of what it reads, until Release. It may stand
// beneath a [Wire], also one that has been taken over: the stream tells it of what
// it reads itself, and reads it in small pieces.
type Metered struct {
	net.Conn
	meter    Meter
	released atomic.Bool
}

// NewMetered returns c with a meter.
func NewMetered(c net.Conn, meter Meter) *Metered { return &Metered{Conn: c, meter: meter} }

// Release takes the meter off.
func (m *Metered) Release() { m.released.Store(true) }

// Read implements net.Conn.
func (m *Metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if meterErr := m.took(n); meterErr != nil {
		return 0, meterErr
	}
	return n, err
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
