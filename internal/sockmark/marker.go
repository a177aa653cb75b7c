// Package sockmark marks sockets, so that rules of routing tell them from those of others
// (ip rule fwmark): what carries a tunnel must not go into it. Linux and FreeBSD have
// marks; elsewhere nothing happens.
package sockmark

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"

	"github.com/detour-relay/detour/client"
)

// ErrForeign: somebody else makes the Host's sockets.
var ErrForeign = errors.New("the mark cannot be set: HostConfig.Base.DialContext or ListenPacket makes the sockets, and has to mark them itself")

// A Marker makes sockets, of a Host for one, and marks them. Its zero value is ready.
type Marker struct {
	foreign bool // somebody else makes some of them

	mu      sync.Mutex
	mark    uint32
	sockets []syscall.RawConn // some may be closed
}

// Install has a Host make its sockets by way of the marker. It is called before all else.
func (m *Marker) Install(cfg *client.HostConfig) {
	if m.foreign = cfg.Base.DialContext != nil || cfg.ListenPacket != nil; m.foreign {
		return
	}
	dialer := m.Dialer()
	cfg.Base.DialContext = dialer.DialContext
	cfg.ListenPacket = (&net.ListenConfig{Control: m.made}).ListenPacket
	if cfg.Lookup == nil {
		cfg.Lookup = dialer.Resolver.LookupNetIP
	}
}

// Dialer makes connections, and asks for names, by sockets of the marker. Where the
// system's resolver is asked, it sends by its own.
func (m *Marker) Dialer() *net.Dialer {
	asks := &net.Dialer{ControlContext: m.control}
	return &net.Dialer{ControlContext: m.control, Resolver: &net.Resolver{Dial: asks.DialContext}}
}

func (m *Marker) control(_ context.Context, network, address string, c syscall.RawConn) error {
	return m.made(network, address, c)
}

// made marks a new socket, before anything is sent by it.
func (m *Marker) made(_, _ string, c syscall.RawConn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pruneLocked()
	m.sockets = append(m.sockets, c)
	if m.mark == 0 {
		return nil
	}
	return setMark(c, m.mark)
}

// pruneLocked forgets closed sockets whenever there may be twice as many as were open.
func (m *Marker) pruneLocked() {
	if len(m.sockets) < cap(m.sockets) {
		return
	}
	open := make([]syscall.RawConn, 0, 8)
	for _, c := range m.sockets {
		if c.Control(func(uintptr) {}) == nil {
			open = append(open, c)
		}
	}
	m.sockets = append(make([]syscall.RawConn, 0, max(8, 2*len(open))), open...)
}

// Set marks all sockets, those to come included.
func (m *Marker) Set(mark uint32) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.foreign && mark != 0 {
		return ErrForeign
	}
	m.mark = mark
	var problem error
	for _, c := range m.sockets {
		if err := setMark(c, mark); err != nil && c.Control(func(uintptr) {}) == nil {
			problem = err
		}
	}
	return problem
}
